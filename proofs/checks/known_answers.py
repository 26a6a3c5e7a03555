"""Known answers for the unit tests of src/theory/bound: bounds.py on a small fixed data set, W2 minimised on a dense grid."""
import numpy as np
import bounds, gaussian, pair
from flow import setup
def dense(F,var,b,n,t,rad):
    """bounds.chernoff with 20001 values of lambda instead of 60"""
    grid=np.linspace; np.linspace=lambda lo,hi,k: grid(lo,hi,20001)
    try: return coarse(F,var,b,n,t,rad)
    finally: np.linspace=grid
coarse=bounds.chernoff; bounds.chernoff=pair.chernoff=dense
def data():
    """12 points, 5 test points in 3 dimensions, the same formula as in the unit tests"""
    X=np.array([[1.5*np.sin(1.3*(3*n+c)+.4)+.2*np.cos(2.1*n) for c in range(3)] for n in range(12)])
    y=np.array([1. if (n*5+2)%3!=0 else -1. for n in range(12)])
    Z=np.array([[1.2*np.cos(.9*(3*n+c)+.1) for c in range(3)] for n in range(5)])
    return X,y,Z
def drift_limit(n,g,T=1.,mu3=2*np.sqrt(2/np.pi)):
    """W8 for n=2,3 points by numerical integration over the direction of the pre-activations given u_k=0 (d=2: they live in a plane)"""
    X=np.sin(1.7*np.arange(2*n)+.3).reshape(n,2); y=np.where(np.arange(n)==1,-1.,1.); Z=np.array([[.4,-1.1],[2.,.3]]); D=setup(X,y,Z); A=np.hstack([X/np.sqrt(2),np.ones((n,1))]); AZ=np.hstack([Z/np.sqrt(2),np.ones((2,1))]); out=np.zeros(2)
    for k in range(n):
        e=A[k]/np.linalg.norm(A[k]); b=np.linalg.svd(e[None])[2][1:]; P=A@b.T; o=[j for j in range(n) if j!=k]; S=D['C'][k,k]
        for z in range(2):
            V=np.vstack([P[o],AZ[z]@b.T]); cut=np.sort(np.array([(np.arctan2(v[1],v[0])+s*np.pi/2)%(2*np.pi) for v in V for s in (1,-1)])); cut=np.append(cut,cut[0]+2*np.pi); mid=(cut[1:]+cut[:-1])/2; w=np.diff(cut)/(2*np.pi)
            ph=np.where(V@np.vstack([np.cos(mid),np.sin(mid)])>=0,1.,g); Vo=D['C'][o,k]@ph[:-1]; ze=abs(S)*np.clip(-2*Vo/S-1-g,-(1-g),1-g); out[z]+=D['Cz'][k,z]*D['p'][k]*(w*ph[-1]*ze).sum()
    return mu3*T*T/4*(1-g)*out
if __name__=="__main__":
    np.seterr(all='ignore'); show=lambda v:'['+', '.join('%.13e'%x for x in v)+']'
    print('W2'); print(show([dense(.3,.8,2.5,500,7.,True),dense(.3,.8,2.5,500,7.,False),dense(-.4,.05,.1,20,3.,True),dense(-.4,.05,.1,20,3.,False)]))
    print('W8'); print(show(drift_limit(2,.2)),show(drift_limit(3,.2)))
    D=setup(*data())
    for g in (0.,.3):
        for rad in (True,False):
            B=bounds.all_bounds(D,g,.2,1000,rad,True,np.log(2/1e-3) if rad else np.log(4/1e-3)); C=bounds.all_bounds(D,g,.2,1000,rad,True,np.log(1/1e-3) if rad else np.log(2/1e-3),'one')
            print('slope',g,'Rademacher' if rad else 'Gaussian')
            for k in ('F','varB','eX','b1','bias','vR','ef'): print(' ',k,show(B[k]))
            print('  ef, one tail',show(C['ef']))
        T,m,n=.2,1000,500; R=bounds.all_bounds(D,g,T,m,True,True,1.); pr=gaussian.parts(D,g,T,m); k=np.linspace(-1,.5,3751)
        two=[np.maximum(gaussian.gaussian_ef(R['F'],R['varB'],R['bu'],pr,n,t,grid=k),gaussian.gaussian_ef(-R['F'],R['varB'],-R['bl'],pr,n,t,grid=k)) for t in (np.log(2e3),)][0]
        one=gaussian.gaussian_ef(-abs(R['F']),R['varB'],np.where(R['F']>0,-R['bl'],R['bu']),pr,n,np.log(1e3),grid=k)
        print('W12 slope',g); print('  both',show(T*two)); print('  one ',show(T*one))
    for g in (0.,.3):
        eta,tau=.01*np.arange(1,13),.02*np.arange(1,6); print('slope',g,'G11')
        for tail in ('both','one'): print('  '+tail,show(pair.eg_uniform(D,g,.2,1000,np.log((2 if tail=='both' else 1)/1e-3),eta,tau,tail)))
    X,y,Z=data(); yp=np.where(np.arange(12)%3==0,1.,-1.)
    for g in (0.,.3):
        v,b=pair.dirs(D,g); dn=v+b; c=.5+.1*np.arange(12)[:,None]*np.ones(5)+.05*np.arange(5); print('slope',g,'P7, P8: m = 1000, T = .2, t = ln 4/1e-3')
        for flow in (True,False):
            o=pair.Direction(D,dn,np.linalg.norm(b,axis=1),.2,1000,g,flow); t=np.log(4/1e-3)
            print('  averaged',show(o.averaged(c,Z.T,t))); print('  single, first test point',show(o.single(Z.T,t)[:,0])); print('  norm',show(o.norm(t)))
        o=pair.Direction(D,dn,np.linalg.norm(b,axis=1),.5,10**7,g); print(' G8, A3: m = 1e7, T = .5, T\' = .3, eps = .7, delta = 1e-3; H, e_d, tau; eta')
        for sc in (0,1):
            for tail in ('both','one'):
                L=pair.limit_deviation(o,Z,yp,.7,sc,1e-3,tail); print('  '+tail); [print('   ',show(L[k])) for k in ('H','dev','tau')]
            print('  eta',show(L['eta'])); R=pair.pair(D,o,Z,yp,.7,sc,.3,1e-3); print('  pair'); [print('   ',show(R[k])) for k in ('F','G','ef','eg')]; print('   ',R['cert'])
