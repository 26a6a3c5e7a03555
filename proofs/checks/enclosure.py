"""Checks M3-M6: enclosure of trained networks by gradient descent, random data, never violated; prints tightness."""
import numpy as np; from flow import *
rng=np.random.default_rng(1); worst=0; ratios=[]
for trial in range(60):
    N,d,m=rng.integers(2,30),rng.integers(1,8),rng.integers(5,200); g=rng.choice([0,.3,.9]); T=10**rng.uniform(-2,.7)
    X=rng.standard_normal((N,d))*10**rng.uniform(-1,1); y=rng.choice([-1.,1.],N); Z=rng.standard_normal((4,d))*3
    D=setup(X,y,Z); U,Uz,_,_=draw(D,m,rng); a=rng.standard_normal(m)/np.sqrt(m)
    phi=lambda u:np.maximum(u,g*u); steps=300; UT,UzT,_=flow(D,U,Uz,a,T,g,steps)
    fT=(a*(phi(UzT)-phi(Uz))).sum(1); q=abs(a)
    up,lo,_=ranges(D['C'],g); upz,loz,_=ranges(D['Cz'],g); dp=np.where(U>=0,1.,g); V=D['C'].T@dp; Vz=D['Cz'].T@dp
    sg=np.where(U>=0,1,-1); vs=-sg*np.sign(a)
    mx=np.where(vs>0,np.maximum(up,0)[:,None],np.maximum(-lo,0)[:,None])
    with np.errstate(divide='ignore',invalid='ignore'): tau=np.where(mx>0,abs(U)/(q*mx),np.inf)
    ts=np.linspace(0,T,201); dt=ts[1]
    for it in range(3):   # rectangle upper sums keep validity on the grid
        new=np.full_like(tau,np.inf); integ=np.zeros_like(U)
        for t in ts:
            on=(tau<=t+dt)
            e=lambda s:(np.maximum(s*-(1-g)*D['C'],0).T@(on*(sg>0))+np.maximum(s*(1-g)*D['C'],0).T@(on*(sg<0)))
            E=np.where(vs>0,e(1),e(-1)); integ=np.maximum.accumulate(np.stack([integ,integ+dt*(vs*V+E)]))[1] if False else integ+dt*(vs*V+E)
            hit=(q*integ>=abs(U))&np.isinf(new); new[hit]=t
        tau=np.maximum(tau,new)
    Dup=np.zeros_like(Vz); Dlo=np.zeros_like(Vz)
    for t in ts[:-1]:
        on=(tau<=t+dt)
        e=lambda s:(np.maximum(s*-(1-g)*D['Cz'],0).T@(on*(sg>0))+np.maximum(s*(1-g)*D['Cz'],0).T@(on*(sg<0)))
        Dup+=dt*np.minimum(Vz+e(1),upz[:,None]); Dlo+=dt*np.maximum(Vz-e(-1),loz[:,None])
    hi=(a*(phi(Uz+a*Dup)-phi(Uz))).sum(1); low=(a*(phi(Uz+a*Dlo)-phi(Uz))).sum(1)
    lin=(a*a*T*np.where(Uz>=0,1,g)*Vz).sum(1)
    tol=1e-9*(1+abs(fT)); assert (fT<=hi+tol).all() and (fT>=low-tol).all(),(trial,fT,low,hi)
    r=np.abs(fT-lin)/np.maximum(np.maximum(hi-lin,lin-low),1e-12); ratios+=list(r[np.abs(fT-lin)>1e-9])
print('enclosure never violated; observed/bound median %.2f, max %.2f'%(np.median(ratios),max(ratios)))
