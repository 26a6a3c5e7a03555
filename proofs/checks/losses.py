"""Checks L1-L3: logistic and squared loss, small networks against the kernel flow, with the drift term Delta measured on the run."""
import numpy as np; from flow import *
rng=np.random.default_rng(2)
for (N,d,T,m) in ((8,3,1.,400),(15,5,2.,1000)):
    X=rng.standard_normal((N,d)); y=rng.choice([-1.,1.],N); Z=rng.standard_normal((3,d)); D=setup(X,y,Z); g=.1; KZ=np.hstack([D['K'],N*D['Cz']*y[:,None]])
    tt=np.hstack([D['tx'],D['tz']]); Th=KZ*(g+(1-g)**2*(np.pi-tt)/(2*np.pi))
    for loss in ('logistic','squared'):
        G=(lambda u:1/(1+np.exp(u))) if loss=='logistic' else (lambda u:1-u)
        U,Uz,w,b=draw(D,m//2,rng); U=np.hstack([U,U]); Uz=np.hstack([Uz,Uz]); a=np.concatenate([np.ones(m//2),-np.ones(m//2)])/np.sqrt(m)
        A=np.vstack([U,Uz]); k=np.zeros(N+3); steps=2000; dt=T/steps; phi=lambda u:np.maximum(u,g*u); ab=0*k; sq=0*k; errm=0; e2=0
        for s in range(steps):
            dp=np.where(A>=0,1.,g); Ph=(dp[:N]*a*a)@dp.T; f=(a*phi(A)).sum(1)
            dev=abs(Ph-Th/KZ); ab=np.maximum(ab,(abs(KZ)*dev).mean(0)); sq=np.maximum(sq,np.sqrt((KZ**2*dev**2).mean(0))); gn=G(y*f[:N])
            A=A+dt*a*(KZ.T@((y*gn/N)[:,None]*dp[:N])); k=k+dt*(Th.T@(y*G(y*k[:N])))/N
        f=(a*phi(A)).sum(1); err=abs(f-k)
        if loss=='logistic':
            L=.25; ts=abs(Th[:,:N]).mean(0).max(); DX=ab[:N].max(); bd=T*ab+DX*L*abs(Th).mean(0)*(np.exp(L*ts*T)-1-L*ts*T)/(L*ts)**2; bd[:N]=np.minimum(bd[:N],DX*(np.exp(L*ts*T)-1)/(L*ts))
        else: DB=np.sqrt((sq[:N]**2).mean()); bd=T*sq+np.sqrt((Th**2).mean(0))*T*T/2*DB
        print(loss,N,m,'observed/bound max %.2f'%(err/bd).max()); assert (err<=bd*1.01).all()
