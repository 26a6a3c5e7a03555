"""Checks W13 and M4: flip probabilities at training and test points against their bounds; random data."""
import numpy as np; from scipy.special import erf; from flow import *
rng=np.random.default_rng(9)
def w13(D,n,q,T,g):
    up,lo,lam=ranges(D['C'],g); vb=np.maximum(np.maximum(up,0),np.maximum(-lo,0)); N=D['N']; r=np.cos(D['tx']); keep=np.arange(N)!=n; C=D['C'][keep,n]; rn=r[keep,n]; sn=np.sqrt(1-rn**2)
    cp=np.clip((r[np.ix_(keep,keep)]-np.outer(rn,rn))/np.outer(sn,sn),-1,1); Ph=g+(1-g)**2*(np.pi-np.arccos(cp))/(2*np.pi); S=D['K'][n,n]/N
    Dh=(1-g)*(abs(C)*erf(q*T*(vb[keep]+D['s'][keep]*abs(rn)*vb[n]/D['s'][n])/(np.sqrt(2)*D['s'][keep]*sn))).sum()+(1-g)/2*S
    return D['p'][n]*q*T*min(lam[n],np.sqrt(max(C@Ph@C,0))+(1+g)/2*S+2*Dh),D['p'][n]*q*T*lam[n]
for (N,d,g,T) in ((40,20,0.,.5),(100,30,.2,.5),(15,3,0.,1.)):
    X=rng.standard_normal((N,d)); y=rng.choice([-1.,1.],N); D=setup(X,y,X[:1]); 
    for m in (100,10**4,10**6):
        q=m**-.5; M=40000; obs=np.zeros(3); U0,Uz,_,_=draw(D,M,rng); dt=T/60
        for s in (1,-1):
            U=U0.copy(); fl=np.zeros((3,M),bool)
            for _ in range(60):
                U=U+s*q*dt*(D['C'].T@np.where(U>=0,1.,g)); fl|=(U[:3]>=0)!=(U0[:3]>=0)
            obs+=fl.mean(1)/2
        b=np.array([w13(D,n,q,T,g) for n in range(3)]); print(N,d,g,'m',m,'observed/W13',np.round(obs/b[:,0],2),'observed/M4',np.round(obs/b[:,1],2)); assert (obs<=b[:,0]+5*np.sqrt(b[:,0]/M)).all()
print('W14 against the simulated mean drift and beta_1 of W5')
from bounds import all_bounds
def w14(D,z,q,T,g,m):
    lam=np.array([w13(D,n,q,T,g)[0]/(D['p'][n]*q*T) for n in range(D['N'])]); up,lo,_=ranges(D['C'],g); vb=np.maximum(np.maximum(up,0),np.maximum(-lo,0)); uz,lz,_=ranges(D['Cz'],g); vu,vd=max(uz[z],0),max(-lz[z],0)
    C=D['Cz'][:,z]; rz=np.cos(D['tz'][:,z]); sn=np.sin(D['tz'][:,z]); cp=np.clip((np.cos(D['tx'])-np.outer(rz,rz))/np.outer(sn,sn),-1,1); r=np.sqrt(max(C@(g+(1-g)**2*(np.pi-np.arccos(cp))/(2*np.pi))@C,0))
    d=(1-g)*(abs(C)*np.sqrt(erf(q*T*(vb+D['s']*abs(rz)*max(vu,vd)/D['sz'][z])/(np.sqrt(2)*D['s']*sn)))).sum()
    return m*q*q*(1-g)*q*T*T/4*((abs(C)*D['p']*lam).sum()+D['pz'][z]*min(vu**2+vd**2,r*r+2*r*d+2*d*d))
for (N,d,g,T) in ((40,20,.3,.5),(20,5,0.,1.)):
    X=rng.standard_normal((N,d)); y=rng.choice([-1.,1.],N); D=setup(X,y,rng.standard_normal((1,d)))
    for m in (100,10**4,10**6):
        M=100000; U,Uz,_,_=draw(D,M,rng); a=np.full(M,m**-.5); r=(drift(D,U,Uz,a,T,g,60)+drift(D,U,Uz,-a,T,g,60))[0]/2; se=r.std()/M**.5; b=w14(D,0,m**-.5,T,g,m); B=all_bounds(D,g,T,m,True,True,7.)
        print(N,d,'m',m,'|ER|/W14 %.3f (+- %.3f)'%(abs(r.mean())/b,se/b),'|ER|/W5 %.3f'%(abs(r.mean())/B['b1'][0]),'W14/W5 %.2f'%(b/B['b1'][0])); assert abs(r.mean())<=b+5*se
