"""Known answers for the unit tests of src/theory/bound: bounds.py on a small fixed data set, W2 minimised on a dense grid."""
import numpy as np
import bounds, pair
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
if __name__=="__main__":
    np.seterr(all='ignore'); show=lambda v:'['+', '.join('%.13e'%x for x in v)+']'
    print('W2'); print(show([dense(.3,.8,2.5,500,7.,True),dense(.3,.8,2.5,500,7.,False),dense(-.4,.05,.1,20,3.,True),dense(-.4,.05,.1,20,3.,False)]))
    D=setup(*data())
    for g in (0.,.3):
        for rad in (True,False):
            B=bounds.all_bounds(D,g,.2,1000,rad,True,np.log(2/1e-3) if rad else np.log(4/1e-3)); C=bounds.all_bounds(D,g,.2,1000,rad,True,np.log(1/1e-3) if rad else np.log(2/1e-3),'one')
            print('slope',g,'Rademacher' if rad else 'Gaussian')
            for k in ('F','varB','eX','b1','self','pair','vR','ef'): print(' ',k,show(B[k]))
            print('  ef, one tail',show(C['ef']))
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
