"""A-priori certificate of A3 for the pair (f, g), scenario a, on the image sets; usage: pair.py EPSILON mnist|fashion ..."""
import sys
import numpy as np
from scipy.special import erf
from flow import *
from bounds import *
from images import mnist,fashion
def dirs(D,g=0.):
    X,y,d,s=D['X'],D['y'],D['d'],D['s']; th=D['tx']; rho=np.cos(th); N=len(y)
    v=(y[None]*(g+(1-g)**2*(np.pi-th)/(2*np.pi)))@X/N
    with np.errstate(divide='ignore'): w=D['C']*(1-g)**2/(2*np.pi*d*np.sin(th))   # C[j,k]=C_j(x_k)
    w[~np.isfinite(w)]=0; np.fill_diagonal(w,0)
    b=(w/s[:,None]/s[None]).T@X-((w*rho).sum(0)/s**2)[:,None]*X
    return v,b
def direction(D,dn,nb,Phin,T,m,g,tl,tn,ts):
    """P7, P8: Rademacher, Antisymmetric. tl: averaged functional per z; tn: per n; ts: per (n,z)."""
    X,Z,y,N,d=D['X'],D['Z'],D['y'],D['N'],D['d']; nc=m//2; sm=np.sqrt(m); p,s=D['p'],D['s']; Tm=T/sm; g1=1-g
    up,lo,lam=ranges(D['C'],g); vu,vd=np.maximum(up,0),np.maximum(-lo,0); vb=np.maximum(vu,vd)
    nd=np.linalg.norm(dn,axis=1); q=dn/nd[:,None]; nz=np.linalg.norm(Z,axis=1); c=Phin/nd[:,None]
    sx=np.sin(D['tx']); ok=sx>0; sxs=np.where(ok,sx,1); rx=np.cos(D['tx']); Ph=g+g1**2*(np.pi-D['tx'])/(2*np.pi)
    h=Tm*(vb[:,None]+s[:,None]*abs(rx)/s[None]*vb[None]); PA=np.where(ok,erf(h/(np.sqrt(2)*s[:,None]*sxs)),0.); Dh=g1*(abs(D['C'])*PA).sum(0)
    pl=p*lam; Pd=np.minimum(Tm*np.sqrt(np.outer(pl,pl))/3,np.where(ok,Tm**2*np.outer(pl,pl)/(4*sxs),np.inf))   # E (T-tau)(T-tau')/T^2
    def functional(E):   # E: d x k directions -> drift in mean (without the n-dependent part), ranges, second moment of <e,B bar>
        Ce=y[:,None]*(X@E)/N; u,l,k=ranges(Ce,g); b=np.maximum(abs(u),abs(l)); a=abs(Ce)
        A=g1*Tm/4*(a*pl[:,None]).sum(0); v=(np.sqrt(np.maximum(np.einsum('nz,nz->z',Ce,Ph@Ce),0))+g1*np.sqrt(np.einsum('nz,nz->z',a,Pd@a)))**2
        return A,k,b,np.minimum(v,b*b),u-l
    def meandev(A,k,ne,xe): return g1*Tm*pl/2*k+A+g1*4*p*Dh*ne/np.sqrt(d)+g1*Tm*p*(vu**2+vd**2)/(2*d*s*s)*abs(xe)+g1*Tm**2*p*vb**3/(6*s*s)*ne/np.sqrt(d)+.5*g1**2*p*np.diag(D['K'])/N*ne/np.sqrt(d)
    h2=.54*g1*sm/(2*T*np.sqrt(d)); w2=g1**2*m/(4*T*T*d)*2*Tm
    fl=lambda v1,b,v2,H,t: np.sqrt(2*v1*t/nc)+b*t/(3*nc)+np.sqrt(2*v2*t/nc)+H*t/nc
    A,k,b,v,w=functional(Z.T)
    md=np.stack([meandev(A[j],k[j],nz[j],X@Z[j]) for j in range(len(Z))],1)
    Pb=np.minimum(2*Tm*np.sqrt(np.outer(p*vb,p*vb)),np.where(ok,4*Tm**2*np.outer(p*vb,p*vb)/sxs,np.inf)); np.fill_diagonal(Pb,2*Tm*p*vb)
    v2=g1**2*m/(4*T*T*d)*nz**2*np.einsum('nz,nz->z',c,Pb@c)/N**2
    Lam=(c*md).mean(0)+fl(c.mean(0)**2*v,c.mean(0)*b,v2,h2*nz*c.max(0),tl)
    S=(md+fl(v[None],b[None],w2*(p*vb)[:,None]*nz[None]**2,h2*nz[None],ts))/nd[:,None]
    Aq,kq,bq,vq,_=functional(q.T); a=(meandev(Aq,kq,1.,(X*q).sum(1))+fl(vq,bq,w2*p*vb,h2,tn))/nd
    Cx=y[:,None]*(X@X.T)/N; ux,lx,_=ranges(Cx,g); bV=np.sqrt(np.maximum(abs(ux),abs(lx)).mean()); nx=np.linalg.norm(X,axis=1)
    VB=min(bV,np.sqrt(max(y@(Ph*(X@X.T))@y/N**2,0))+g1*np.sqrt(nx@Pd@nx)/N)
    n1=(VB*np.sqrt(2*tn)*np.sqrt(nc)+4/3*bV*tn)/nc
    A0=g1**2*p*vb/(T*sm); sc=g1**2/(T*T*m); Asum=A0+np.sqrt(2*A0*sc*(1+2/d)*tn)+sc*max((1+4/d)/3,2/d,)*tn
    e2=np.minimum(g1*p*vb/np.sqrt(d),nb+g1*4*p*Dh/np.sqrt(d)+g1*Tm*p*(vu**2+vd**2)*nx/(2*d*s*s)+g1*Tm**2*p*vb**3/(6*s*s)/np.sqrt(d)+.5*g1**2*p*np.diag(D['K'])/N/np.sqrt(d))
    Bq=e2+np.sqrt(2*A0/d*tn)+.54*g1/(T*sm*np.sqrt(d))*tn; L=Bq+np.sqrt(Bq**2+Asum)
    mn=nb+g1*Tm*pl*bV+g1*Tm/4*np.mean(nx*pl)
    return Lam,a,(L+n1+mn)/nd,S,(L,n1,mn)
def eg_uniform(E,g,Tp,m,t,eta,tau,tail):
    """G9: W9 (Rademacher, Antisymmetric) for every input set within eta of the rows of E['X'], whose C(z) change by tau in total; tail both|one (towards 0)"""
    N,d=E['N'],E['d']; nc=m//2; Cz=E['Cz']; aC=abs(Cz); sm=np.sqrt(m); g1=1-g; e=eta/np.sqrt(d); nr=np.linalg.norm(E['X'],axis=1)
    up,lo,_=ranges(E['C'],g); io=eta.mean()*nr+eta*(nr.mean()+eta.mean()); lam=np.maximum(up+io,0)+np.maximum(io-lo,0); pl=lam/np.sqrt(2*np.pi)/np.maximum(1,E['s']-e)
    al=np.minimum(2*np.arctan(e/2),np.where(e<E['s'],np.arcsin(np.minimum(e/E['s'],1)),np.inf)); G=limit(Cz,E['tz'],g)
    zeta=(1+g)/2*(tau+g1/np.pi*al@aC); nu=np.sqrt((1+g*g)/2)*(tau+g1*np.sqrt(al/np.pi)@aC)
    up,lo,_=ranges(Cz,g); up=up+tau; lo=lo-tau; vu,vd=np.maximum(up,0),np.maximum(-lo,0); bu=np.maximum(up,g*up); bl=np.minimum(lo,g*lo); pz=E['pz']
    beta=Tp**2*g1/(4*sm)*(pl@aC+tau*pl.max()+pz*(vu**2+vd**2))
    R=np.sqrt(g1**2*Tp**3/(3*sm))*(np.sqrt((1+g*g)/2)*(np.sqrt(pl)@aC+tau*np.sqrt(pl.max()))+np.sqrt(pz*(vu**3+vd**3)))
    var=(Tp*(np.sqrt(np.maximum(EB2(Cz,E['tz'],E['tx'],g)-G**2,0))+nu)+R)**2
    x=lambda gap: chernoff(0*G,var,Tp*np.minimum(gap+zeta,bu-bl)+beta,nc,t,True)
    xu,xl=x(bu-G),x(G-bl)
    return beta+(np.maximum(xu,xl) if tail=='both' else np.where(G>0,xl,xu))
if __name__=="__main__":
  rng=np.random.default_rng(0)
  for name in sys.argv[2:]:
    X,y,Z,yz=(mnist if name=='mnist' else fashion)(ntest=300); D=setup(X,y,Z); N=len(y); nz=300; dl=1e-3; F=limit(D['Cz'],D['tz'],0.); d=784; eps=float(sys.argv[1])
    v,b=dirs(D); dn=v+b; nd=np.linalg.norm(dn,axis=1); q=dn/nd[:,None]
    yp=rng.permutation(np.where(np.arange(N)%2==0,1.,-1.)); r=eps*yp[:,None]*q; E=setup(r,yp,Z); G=limit(E['Cz'],E['tz'],0.); Phin=(np.pi-E['tz'])/(2*np.pi); qz=q@Z.T; pos=F*G>0
    # budget: f 1/4, g 1/4, direction 1/2 in four equal parts
    tf=np.log(4*nz/dl); tg=np.log(4*nz/dl); tl=np.log(4*6*nz/dl); tn=np.log(8*6*N/dl); ts=np.log(4*6*N*nz/dl)   # f 1/4, g 1/4, direction 1/2 = three sixths
    G0=((np.where(yp[:,None]>0,1,-1)*E['Cz']*0).sum(0))
    off=(yp[:,None]*Phin).mean(0); sig=eps*(Phin*qz).mean(0)     # G = off + sig (exact)
    def cert(m,T,Tp,full=False):
        Bf=all_bounds(D,0.,T,m,True,True,tf,'one'); cf=Bf['ef']<abs(T*F)
        Lam,a,yv,S,I=direction(D,dn,np.linalg.norm(b,axis=1),Phin,T,m,0.,tl,tn,ts); a=np.minimum(a,.999)
        rlo=1/np.hypot(1+a,yv); rhi=1/(1-a); lo,hi=rlo.min(),rhi.max(); mid=(rlo.max()*0+ (lo+hi)/2)
        al=np.arctan2(yv,1-a); alpha=np.minimum(eps/np.sqrt(d)*2*np.sin(np.minimum(al,np.pi)/2),1)
        dq=(abs(rhi-1)[:,None]*0+np.maximum(rhi-1,1-rlo)[:,None])*abs(qz)+rhi[:,None]*S     # |<dq_n,z>| per n,z
        tau=eps*np.minimum(dq,2*np.linalg.norm(Z,axis=1)[None]).mean(0)
        rem=(1/(2*np.pi))*(alpha[:,None]*(1+eps*(abs(qz)+dq))).mean(0)
        absd=(Phin*(abs(qz)+S)).mean(0)
        # G_hat = off + eps*mean Phi rho_n <D_n,z>/nd + rem : center mid*sig
        center=off*0+mid*sig; err=eps*(mid*Lam+((np.maximum(rhi-mid,mid-rlo))[:,None]*Phin*(abs(qz)+S)).mean(0))+rem+abs(off)
        Gm=np.sign(sig)*np.maximum(abs(center)-err,0)    # lower bound of |G_hat| 
        Gc=center
        e=eg_uniform(E,0.,Tp,m,tg,np.sqrt(d)*alpha,tau,'one')
        cg=(e<Tp*abs(Gm))&(np.sign(sig)==np.sign(F))
        if full: print('  med |sig| %.3f center %.3f err %.3f Gm %.3f e/Tp %.3f tau %.3f a %.2f y %.2f rlo %.2f rhi %.2f Lam*eps %.3f off %.4f rem %.4f'%(np.median(abs(sig)),np.median(abs(center)),np.median(err),np.median(abs(Gm)),np.median(e)/Tp,np.median(tau),np.median(a),np.median(yv),lo,hi,eps*np.median(Lam),np.median(abs(off)),np.median(rem)))
        return cf[pos].mean(),cg[pos].mean(),(cf&cg)[pos].mean()
    for m in (10000,20000,30000,40000,50000,70000,100000,140000,200000):
        best=max(((cert(m,T,.1),T) for T in (.05,.1,.2)),key=lambda u:u[0][2]); print(name,eps,'m',m,'T',best[1],'f,g,pair %.2f %.2f %.2f'%best[0],flush=True); cert(m,best[1],.1,True)
