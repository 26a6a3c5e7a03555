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
GAUSS=np.sqrt(2/np.pi)   # E|g|, g standard normal
class Direction:
    """P7, P8: Rademacher, Antisymmetric; flow: sliding neurons keep the flow's own derivative (else phi'(0)=1)"""
    def __init__(o,D,dn,nb,T,m,g,flow=True):
        X,y,N,d,C=D['X'],D['y'],D['N'],D['d'],D['C']; p,s=D['p'],D['s']; o.D,o.dn,o.nb,o.T,o.m,o.g,o.g1,o.nc,o.h=D,dn,nb,T,m,g,1-g,m//2,T/np.sqrt(m); o.nd=np.linalg.norm(dn,axis=1)
        up,lo,o.lam=ranges(C,g); o.vu,o.vd=np.maximum(up,0),np.maximum(-lo,0); o.vb=np.maximum(o.vu,o.vd); o.pl=p*o.lam; o.pv=p*o.vb
        sx=np.sin(D['tx']); o.ok=sx>0; o.sx=np.where(o.ok,sx,1); o.Ph=g+o.g1**2*(np.pi-D['tx'])/(2*np.pi)
        reach=o.h*(o.vb[:,None]+s[:,None]*abs(np.cos(D['tx']))/s[None]*o.vb[None]); xi=reach/(s[:,None]*o.sx); Dh=o.g1*(abs(C)*np.where(o.ok,(erf(xi/np.sqrt(2))+1-np.exp(-xi*xi/2))/2,0.)).sum(0)
        o.P=np.minimum(o.h/3*np.sqrt(np.outer(o.pl,o.pl)),np.where(o.ok,o.h**2/4*np.outer(o.pl,o.pl)/o.sx,np.inf))
        Pi=np.minimum(2*o.h*np.sqrt(np.outer(o.pv,o.pv)),np.where(o.ok,4*o.h**2*np.outer(o.pv,o.pv)/o.sx,np.inf)); np.fill_diagonal(Pi,2*o.h*o.pv); o.Pi=Pi
        o.bracket=o.g1*p*GAUSS/np.sqrt(d)*(1.5*Dh+o.h**2*o.vb**3/(6*s*s)+(0 if flow else o.g1/2*np.diag(D['K'])/N)); o.along=o.g1*o.h*p*(o.vu**2+o.vd**2)/(2*d*s*s)
    def functional(o,E):
        """columns of E: directions -> sum |C^| p lambda, span, largest velocity, v_e"""
        Ce=o.D['y'][:,None]*(o.D['X']@E)/o.D['N']; u,l,k=ranges(Ce,o.g); be=np.maximum(abs(u),abs(l)); a=abs(Ce)
        v=(np.sqrt(np.maximum(np.einsum('nz,nz->z',Ce,o.Ph@Ce),0))+o.g1*np.sqrt(np.einsum('nz,nz->z',a,o.P@a)))**2
        return (a*o.pl[:,None]).sum(0),k,be,np.minimum(v,be*be)
    def mean(o,F,ne,xe):
        """mu_n(e), n x k"""
        A,k,_,_=F; return o.g1*o.h*(o.pl[:,None]*k/2+A/4)+o.bracket[:,None]*ne+o.along[:,None]*abs(xe)
    def tail(o,v1,b1,v2,s2,t): return np.sqrt(2*v1*t/o.nc)+b1*t/(3*o.nc)+np.sqrt(2*v2*t/o.nc)+.54*s2*t/o.nc
    def averaged(o,c,E,t):
        """P7: bound on |1/N sum c_n <e,D_n-d_n>|, column by column (c: n x k)"""
        F=o.functional(E); N=o.D['N']; ne=np.linalg.norm(E,axis=0); cb=c.mean(0); s2=o.g1*np.sqrt(o.m)*ne/(2*o.T*np.sqrt(o.D['d']))
        return (c*o.mean(F,ne,o.D['X']@E)).mean(0)+o.tail(cb**2*F[3],cb*F[2],s2**2*np.einsum('nz,nz->z',c,o.Pi@c)/N**2,cb*s2,t)
    def single(o,E,t):
        """P7 for each n and column of E"""
        F=o.functional(E); ne=np.linalg.norm(E,axis=0); s2=o.g1*np.sqrt(o.m)*ne/(2*o.T*np.sqrt(o.D['d']))
        return o.mean(F,ne,o.D['X']@E)+o.tail(F[3],F[2],s2**2*2*o.h*o.pv[:,None],s2,t)
    def own(o,t):
        """a_n ||d_n||: P7 for e = q_n"""
        q=o.dn/o.nd[:,None]; F=o.functional(q.T); s2=o.g1*np.sqrt(o.m)/(2*o.T*np.sqrt(o.D['d']))
        return o.g1*o.h*(o.pl*F[1]/2+F[0]/4)+o.bracket+o.along*abs((o.D['X']*q).sum(1))+o.tail(F[3],F[2],s2**2*2*o.h*o.pv,s2,t)
    def norm(o,t):
        """P8: bound on ||D_n-d_n||, and its parts"""
        X,y,N,d=o.D['X'],o.D['y'],o.D['N'],o.D['d']; p=o.D['p']; g1,T,m,nc=o.g1,o.T,o.m,o.nc
        u,l,_=ranges(y[:,None]*(X@X.T)/N,o.g); bV=np.sqrt(np.maximum(abs(u),abs(l)).mean()); nx=np.linalg.norm(X,axis=1)
        sV=min(bV,np.sqrt(max(y@(o.Ph*(X@X.T))@y/N**2,0))+g1*np.sqrt(nx@o.P@nx)/N); n1=sV*np.sqrt(2*t/nc)+4/3*bV*t/nc
        A0=g1**2*o.pv/(T*np.sqrt(m)); sc=g1**2/(T*T*m); A=A0+np.sqrt(2*A0*sc*(1+2/d)*t)+sc*max((1+4/d)/3,2/d)*t
        mu2=o.bracket+o.along*nx; e1=g1*GAUSS*o.pv/np.sqrt(d); e2=np.minimum(e1,o.nb+mu2); B=np.sqrt(2*A0/d*t)+.54*g1/(T*np.sqrt(m*d))*t
        return B+np.sqrt(B*B+(np.sqrt(A)+e2/np.sqrt(nc))**2)+n1+np.minimum(mu2,e1+o.nb)+g1*o.h*(o.pl*bV+(nx*o.pl).mean()/4)
def limit_deviation(o,Z,yp,eps,onimage,dl,tail):
    """G8 for all Z at once, failure probability dl: limit G, centre H, deviation e_d (tail 'both': weights 1, |G_r-H|; 'one': best weights for sgn G), distances, changes"""
    D,g,N,d=o.D,o.g,o.D['N'],o.D['d']; nz=len(Z); q=o.dn/o.nd[:,None]; nZ=np.linalg.norm(Z,axis=1); qz=q@Z.T
    r=onimage*D['X']+eps*yp[:,None]*q; E=setup(r,yp,Z); G=limit(E['Cz'],E['tz'],g); K=E['Cz']*yp[:,None]*N; Ph=g+(1-g)**2*(np.pi-E['tz'])/(2*np.pi); off=(yp[:,None]*Ph*(K-eps*yp[:,None]*qz)).mean(0)
    tn=np.log(24*N/dl); y=o.norm(tn)/o.nd; a=np.minimum(o.own(tn)/o.nd,y); S=o.single(Z.T,np.log(12*N*nz/dl))/o.nd[:,None]; good=a<1; a1=np.where(good,a,0)
    lo,hi=np.where(good,1/np.sqrt(1+2*a+y*y),0),np.where(good,1/(1-a1),0); w=np.where(a<y*y,np.arctan(np.sqrt(np.maximum(y*y-a1*a1,0))/(1-a1)),np.arcsin(np.minimum(y,1))); ch=np.where(good,2*np.sin(w/2),2)
    De=np.where(good[:,None],np.minimum(np.maximum(hi-1,1-lo)[:,None]*abs(qz)+hi[:,None]*S,np.minimum(ch[:,None]*nZ,nZ+abs(qz))),nZ+abs(qz))
    rem=(1-g)**2/(2*np.pi)*((eps/np.sqrt(d)*ch)[:,None]*(abs(K)+eps*De)).mean(0); lo,hi,good=lo[:,None],hi[:,None],good[:,None]
    loss=lambda W,c: np.maximum(np.maximum(hi-W,0)*np.maximum(S-c,0),np.maximum(W-lo,0)*np.maximum(c+S,0))
    sg=np.where(G>0,1,-1); c=sg*qz
    if tail=='one':
        W=lo+(hi-lo)*np.clip((S-c)/(2*S),0,1); los=loss(W,c); t=np.log(6*nz/dl); none=c-De<=-nZ; W0=np.where(none,0.,1.); l0=np.where(none,nZ,De); lin=good&(W*c-los>=W0*c-l0)
    else: W=1.+0*qz; los=np.maximum(loss(W,c),loss(W,-c)); t=np.log(12*nz/dl); W0=W; l0=De; lin=good&(los<=De)
    W=np.where(lin,W,W0); H=off+eps*(W*Ph*qz).mean(0); dev=eps*(o.averaged(lin*W*Ph/o.nd[:,None],Z.T,t)+(Ph*np.where(lin,los,l0)).mean(0))+rem
    if tail=='both': dev=np.minimum(dev,eps*(Ph*De).mean(0)+rem)
    return dict(G=G,H=H,dev=dev,eta=eps*ch,tau=eps*De.mean(0),E=E,S=S,a=a,y=y,rem=rem,off=off)
def pair(D,o,Z,yp,eps,onimage,Tp,dl):
    """A3: failure probability 1/4 for f, 1/4 for g, 1/2 for the direction"""
    nz=len(Z); L=limit_deviation(o,Z,yp,eps,onimage,dl/2,'one'); t=np.log(4*nz/dl); B=all_bounds(D,o.g,o.T,o.m,True,True,t,'one')
    eg=eg_uniform(L['E'],o.g,Tp,o.m,t,L['eta'],L['tau'],'one'); G=L['G']; sg=np.where(G>0,1,-1); err=Tp*(abs(G)-sg*L['H']+L['dev'])+eg
    return dict(F=B['F'],G=G,ef=B['ef'],eg=err,cert=(B['ef']<abs(o.T*B['F']))&(err<Tp*abs(G))&(B['F']*G>0),L=L,e=eg)
def eg_uniform(E,g,Tp,m,t,eta,tau,tail):
    """G11: W9 (Rademacher, Antisymmetric) for every input set within eta of the rows of E['X'], whose C(z) change by tau in total; tail both|one (towards 0)"""
    N,d=E['N'],E['d']; nc=m//2; Cz=E['Cz']; aC=abs(Cz); sm=np.sqrt(m); g1=1-g; e=eta/np.sqrt(d); nr=np.linalg.norm(E['X'],axis=1)
    up,lo,_=ranges(E['C'],g); io=eta.mean()*nr+eta*(nr.mean()+eta.mean()); lam=np.maximum(up+io,0)+np.maximum(io-lo,0); pl=lam/np.sqrt(2*np.pi)/np.maximum(1,E['s']-e)
    al=np.minimum(2*np.arctan(e/2),np.where(e<E['s'],np.arcsin(np.minimum(e/E['s'],1)),np.inf)); G=limit(Cz,E['tz'],g)
    zeta=(1+g)/2*(tau+g1/np.pi*al@aC); nu=(1-g*g)/2*tau+np.sqrt((1+g*g)/2)*g1*np.sqrt(al/np.pi)@aC
    up,lo,_=ranges(Cz,g); up=up+tau; lo=lo-tau; vu,vd=np.maximum(up,0),np.maximum(-lo,0); bu=np.maximum(up,g*up); bl=np.minimum(lo,g*lo); pz=E['pz']
    beta=Tp**2*g1/(4*sm)*(pl@aC+tau*pl.max()+pz*(vu**2+vd**2))
    R=np.sqrt(g1**2*Tp**3/(3*sm))*(np.sqrt((1+g*g)/2)*(np.sqrt(pl)@aC+tau*np.sqrt(pl.max()))+np.sqrt(pz*(vu**3+vd**3)))
    var=(Tp*(np.sqrt(np.maximum(EB2(Cz,E['tz'],E['tx'],g)-G**2,0))+nu)+R)**2
    x=lambda gap: chernoff(0*G,var,Tp*np.minimum(gap+zeta,bu-bl)+beta,nc,t,True)
    xu,xl=x(bu-G),x(G-bl)
    return beta+(np.maximum(xu,xl) if tail=='both' else np.where(G>0,xl,xu))
if __name__=="__main__":
  for name in sys.argv[2:]:
    X,y,Z,yz=(mnist if name=='mnist' else fashion)(ntest=300); D=setup(X,y,Z); N=len(y); F=limit(D['Cz'],D['tz'],0.); eps=float(sys.argv[1])
    v,b=dirs(D); dn=v+b; nb=np.linalg.norm(b,axis=1); yp=np.random.default_rng(0).permutation(np.where(np.arange(N)%2==0,1.,-1.))
    for m in (10000,14000,20000,30000,50000,100000):
        for T in (.05,.1,.2):
            R=pair(D,Direction(D,dn,nb,T,m,0.),Z,yp,eps,0,.1,1e-3); L=R['L']; pos=R['F']*R['G']>0; f=R['ef']<abs(T*R['F']); gg=R['eg']<.1*abs(R['G'])
            print(name,eps,'m',m,'T',T,'f,g,pair %.2f %.2f %.2f'%(f[pos].mean(),gg[pos].mean(),R['cert'][pos].mean()),' |G| %.3f |H| %.3f dev %.3f e/Tp %.3f rem %.4f off %.4f tau %.3f'%tuple(np.median(abs(u)) for u in (R['G'],L['H'],L['dev'],R['e']/.1,L['rem'],L['off'],L['tau'])),flush=True)
