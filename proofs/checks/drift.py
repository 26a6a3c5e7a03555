"""Checks W5-W8 on small data: closed-form bounds against the simulated drift; beta_infinity (W8) against sqrt(m) E R."""
import numpy as np; from flow import *; from bounds import *
rng=np.random.default_rng(3)
def beta_inf(D,g,T,mu3,M):
    out=0
    for k in range(D['N']):
        U,Uz,_,_=draw(D,M,rng); u=U[k].copy()
        U-=((1+D['X']@D['X'][k]/D['d'])/D['s'][k]**2)[:,None]*u; Uz-=((1+D['Z']@D['X'][k]/D['d'])/D['s'][k]**2)[:,None]*u
        dp=np.where(U>=0,1.,g); dp[k]=0; Vo=D['C'][:,k]@dp; S=D['C'][k,k]
        ze=abs(S)*np.clip(-2*Vo/S-1-g,-(1-g),1-g); out=out+D['Cz'][k]*D['p'][k]*(np.where(Uz>=0,1.,g)*ze).mean(1)
    return mu3*T*T/4*(1-g)*out
for (N,d,g,T,rad) in ((1,2,0.,1.,True),(3,2,.2,1.,True),(6,3,0.,1.,False),(20,5,0.,1.,True),(40,20,.3,.5,False)):
    X=rng.standard_normal((N,d)); y=rng.choice([-1.,1.],N); Z=rng.standard_normal((3,d)); D=setup(X,y,Z); bi=beta_inf(D,g,T,mu(3,rad),100000)
    for m in (100,1600,25600):
        M=200000; U,Uz,_,_=draw(D,M,rng); al=np.ones(M) if rad else abs(rng.standard_normal(M)); a=al/np.sqrt(m); om=al**2
        Rp=om*drift(D,U,Uz,a,T,g,100); Rm=om*drift(D,U,Uz,-a,T,g,100); r=(Rp+Rm)/2; se=r.std(1)/np.sqrt(M)
        B=all_bounds(D,g,T,m,rad,False,7.,'both'); ER=r.mean(1); E2=(Rp**2+Rm**2).mean(1)/2; EA=(abs(Rp)+abs(Rm)).mean(1)/2
        z=(np.sqrt(m)*ER-bi)/(np.sqrt(m)*se); 
        print(f"N={N} d={d} g={g} m={m}: sqrt(m)ER/beta_inf {np.round(np.sqrt(m)*ER/bi,2)} (z {np.round(z,1)})  |ER|/beta1 {np.max(abs(ER)/B['b1']):.3f}  |ER|/W7 {np.max(abs(ER)/B['bias']):.3f}  E|R|/W5 {np.max(EA/B['absR']):.2f}  ER2/vR {np.max(E2/B['vR']):.2f}",flush=True)
        assert (abs(ER)<=np.minimum(B['b1'],B['bias'])+5*se).all() and (E2<=B['vR']).all() and (EA<=B['absR']*1.01).all()
