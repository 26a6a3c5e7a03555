"""Checks P6, G3-G8, W11, L1 on small networks: inequalities on every draw, moments within sampling error."""
import numpy as np; from flow import *; from bounds import *; from pair import Direction,dirs,limit_deviation
rng=np.random.default_rng(11); g=0.; T=.5; m=3200; N,d,eps=30,6,.3; Rn=120
X=rng.standard_normal((N,d)); y=np.sign(X[:,0]); Z=rng.standard_normal((5,d))*1.5; D=setup(X,y,Z); v,b=dirs(D); dn=v+b; nd=np.linalg.norm(dn,axis=1); q=dn/nd[:,None]; yp=rng.choice([-1.,1.],N)
def Th(r,z): E=setup(r,np.ones(len(r)),z); return E['Cz']*len(r)*(g+(1-g)**2*(np.pi-E['tz'])/(2*np.pi)),(g+(1-g)**2*(np.pi-E['tz'])/(2*np.pi))
for sc in 'ab':
    c=X if sc=='b' else 0*X; r=c+eps*yp[:,None]*q; tp,_=Th(c+eps*q,Z); tm,_=Th(c-eps*q,Z); A=(tp-tm)/2; B=(tp+tm)/2; t0,Ph=Th(r,Z); G=(yp[:,None]*t0).mean(0)
    assert np.allclose(G,A.mean(0)+(yp[:,None]*B).mean(0))                                   # G6 split
    Y=rng.choice([-1.,1.],(20000,N)); tail=np.sqrt(2*2*(B**2).sum(0))/N; assert (np.mean(abs(Y@B/N)>tail,axis=0)<=2*np.exp(-2)).all()
    if sc=='a':
        _,P0=Th(np.zeros((1,d)),Z); off=(yp[:,None]*B).mean(0)-yp.mean()*P0[0]; bd=(1-g)**2/(2*np.pi)*eps/np.sqrt(d)*(1+eps*np.linalg.norm(Z,axis=1)); print('G7 observed/bound %.2f'%np.max(abs(off)/bd)); assert (abs(off)<=bd).all()
    kin=abs(1+r@Z.T); o=Direction(D,dn,np.linalg.norm(b,axis=1),T,m,g,flow=False); L2=limit_deviation(o,Z,yp,eps,sc=='b',.2,'both'); L1=limit_deviation(o,Z,yp,eps,sc=='b',.2,'one'); assert np.allclose(L2['G'],G); sg=np.sign(G); dev=[]; one=[]; lam=[]; e=Ph/nd[:,None]; Ds=[]
    for _ in range(Rn):
        U,Uz,w,bb=draw(D,m//2,rng); gr=0
        for s in (1,-1):
            aa=np.full(m//2,s/np.sqrt(m)); UT,_,I=flow(D,U,Uz,aa,T,g,80); gr=gr+((UT>=0)*aa)@(w+aa*(X.T@((y[:,None]/N)*I))).T
        rh=c+eps*yp[:,None]*gr/np.linalg.norm(gr,axis=1)[:,None]; th,_=Th(rh,Z); gh=(yp[:,None]*th).mean(0); dev.append(gh-L2['H']); one.append(sg*(L1['H']-gh)); assert (np.linalg.norm(rh-r,axis=1)<=L2['eta']).all(); Ds.append(gr/T)
        dist=np.linalg.norm(rh-r,axis=1); L=dist[:,None]*((1+g*g)/2*np.linalg.norm(Z,axis=1)[None]+(1-g)**2/(2*np.pi*np.sqrt(d))*kin); assert (abs(th-t0)<=L+1e-12).all()   # G3 with s_*>=1
    dev=np.array(dev); Ds=np.array(Ds); print(sc,'G8: 95% quantile/bound',np.round(np.quantile(abs(dev),.95,axis=0)/L2['dev'],2),'best weights, one sign',np.round(np.quantile(np.array(one),.95,axis=0)/L1['dev'],2)); assert np.mean(abs(dev)>L2['dev'])<=.05 and np.mean(np.array(one)>L1['dev'])<=.05
    lm=((Ds-Ds.mean(0))@Z.T*e[None]).mean(1); up,lo_,_=ranges(D['C'],g); vb=np.maximum(np.maximum(up,0),np.maximum(-lo_,0)); Ce=y[:,None]*(X@Z.T)/N; u,l,_=ranges(Ce,g); be=np.maximum(abs(u),abs(l)); sx=np.sin(D['tx']); np.fill_diagonal(sx,1); off=4/(m/2)*np.outer(D['p']*vb,D['p']*vb)/sx; np.fill_diagonal(off,0); W=e*np.linalg.norm(Z,axis=1)[None]
    p6=(np.sqrt(2/m)*e.mean(0)*be+np.sqrt((1-g)**2/(d*N*N)*(2/(T*np.sqrt(m))*(W**2*(D['p']*vb)[:,None]).sum(0)+np.einsum('nz,nk,kz->z',W,off,W))))**2
    print(sc,'P6 variance/bound',np.round(lm.var(0)/p6,2)); assert (lm.var(0)<=p6*1.5).all()
f0=[];t=2.
for _ in range(4000):
    U,Uz,_,_=draw(D,50,rng); a=rng.standard_normal(50)/np.sqrt(50); f0.append((a*np.maximum(Uz,0)).sum(1))
bd=D['sz']*np.sqrt(2*t*(.5+np.sqrt(3*t/50)+2*t/50)); print('W11 exceed %.4f (allowed %.3f)'%(np.mean(abs(np.array(f0))>bd),3*np.exp(-t))); assert np.mean(abs(np.array(f0))>bd)<=3*np.exp(-t)
t=2.; mm=200; ex=[]; K=abs(D['Cz'])*N; K0=D['Cz']*N*y[:,None]; Ph=g+(1-g)**2*(np.pi-D['tz'])/(2*np.pi); kz=K.mean(0); px=D['p']; kx=abs(D['C']).sum(0)
for _ in range(40):
    U,Uz,_,_=draw(D,mm,rng); sg=rng.choice([-1.,1.],mm); aa=sg/np.sqrt(mm); sup=0; Tl=.3; P,Q=U.copy(),Uz.copy()
    for _ in range(40):
        F=((P>=0)/mm)@(Q>=0).T*1.; sup=np.maximum(sup,(K*abs(F-Ph)).mean(0)); f=(aa*np.maximum(P,0)).sum(1); gn=1/(1+np.exp(y*f)); dp=gn[:,None]*(P>=0); Q=Q+aa*Tl/40*(D['Cz'].T@dp); P=P+aa*Tl/40*(D['C'].T@dp)
    bd=kz*((1-g*g)/np.sqrt(mm)*(.5+np.sqrt(t/2))+(1-g)*np.sqrt(2*t/mm))+(1-g)*Tl/np.sqrt(mm)*((K*(px*kx)[:,None]).mean(0)+kz*D['pz']*kz); ex.append(sup/bd)
print('L1 (logistic) max observed/bound %.2f'%np.max(ex)); assert np.mean(np.array(ex)>1)<=2*np.exp(-t)
