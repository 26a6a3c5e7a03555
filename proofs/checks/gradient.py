"""Checks P1, P3, P4 (and the boundary term at a training point) on small data, Antisymmetric f, against the closed-form bounds."""
import numpy as np; from flow import *; from bounds import mu
rng=np.random.default_rng(4)
def direction(D,x,g,skip):
    X,y,d=D['X'],D['y'],D['d']; sx=np.sqrt(1+x@x/d); c=1+X@x/d; rho=np.clip(c/D['s']/sx,-1,1); th=np.arccos(rho); th[skip]=0
    v=((y*(g+(1-g)**2*(np.pi-th)/(2*np.pi)))[:,None]*X).mean(0)
    ok=np.ones(len(y),bool); ok[skip]=False
    Cx=(y*(X@x+1)/D['N'])[ok]; b=(Cx[:,None]*((1-g)**2/(2*np.pi*d*np.sin(th[ok])))[:,None]*(X[ok]/(D['s'][ok]*sx)[:,None]-(rho[ok]/sx**2)[:,None]*x)).sum(0)
    return v,b
def sample(D,x,k,g,T,m,M,rad):
    """per-neuron chi (mean over +-a); if k is not None x is training point k and sliding neurons keep the flow's derivative"""
    U,Uz,w,b=draw(D,M,rng); al=np.ones(M) if rad else rng.standard_normal(M); ch=[]
    steps=200
    for s in (1,-1):
        a=s*al/np.sqrt(m); UT,UzT,I=flow(D,U,Uz,a,T,g,steps); wT=w+a*(D['X'].T@((D['y'][:,None]/D['N'])*I))
        if k is None: p0=np.where(Uz[0]>=0,1.,g); pT=np.where(UzT[0]>=0,1.,g)
        else:
            p0=np.where(U[k]>=0,1.,g); pT=np.where(UT[k]>=0,1.,g)
            S=D['C'][k,k]; dpo=np.where(UT>=0,1.,g); dpo[k]=0; chi=-(D['C'][:,k]@dpo)/S
            sl=(a*S<0)&(chi>g)&(chi<1)&(abs(UT[k])<=2*abs(a)*abs(S)*T/steps); pT=np.where(sl,chi,pT)
        ch.append((m*a/T)*(pT*wT-p0*w))
    return (ch[0]+ch[1])/2
for (N,d,g,T) in ((20,3,0.,.3),(6,2,.2,.5)):
    X=rng.standard_normal((N,d))*1.5; y=rng.choice([-1.,1.],N); x=rng.standard_normal(d); D=setup(X,y,x[None]); up,lo,lam=ranges(D['Cz'],g); lam=lam[0]
    Cl=y[:,None]*(X@X.T)/N; u2,l2,_=ranges(Cl,g); bV=np.sqrt(np.maximum(abs(u2),abs(l2)).mean())
    for k in (None,0,1):
        xx=x if k is None else X[k]; v,b=direction(D,xx,g,[] if k is None else [k]); p=1/np.sqrt(2*np.pi*(1+xx@xx/d))
        L=lam if k is None else ranges(D['C'],g)[2][k]
        for m in (400,25600):
            C=np.concatenate([sample(D,xx,k,g,T,m,40000,True) for _ in range(4)],1); mean=C.mean(1); se=C.std(1)/np.sqrt(C.shape[1])
            var=(C.var(1)).sum()/(m/2); bd=(bV*np.sqrt(2/m)+(1-g)*np.sqrt(p*L/(T*np.sqrt(m))))**2
            print(f"N={N} k={k} m={m} |ED-v| {np.linalg.norm(mean-v):.4f} |ED-(v+b)| {np.linalg.norm(mean-v-b):.4f} se {np.linalg.norm(se):.4f} |b| {np.linalg.norm(b):.4f} |v| {np.linalg.norm(v):.3f}  var/P4 {var/bd:.2f}",flush=True); assert var<=bd
