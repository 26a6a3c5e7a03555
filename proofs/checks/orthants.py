"""W15: the mean product of four signs; adaptive quadrature with each variable in turn as the one that is scaled, and brute force."""
import numpy as np
from scipy.integrate import quad
rng=np.random.default_rng(5)
def product_of_signs(R,first):
    o=[i for i in range(4) if i!=first]
    def f(tau):
        t=np.sin(tau); S=R.copy(); S[first]*=t; S[:,first]*=t; S[first,first]=1.; out=0.
        for j in o:
            k,l=[i for i in o if i!=j]; A=S[np.ix_([first,j],[first,j])]; B=S[np.ix_([k,l],[first,j])]; C=S[np.ix_([k,l],[k,l])]-B@np.linalg.solve(A,B.T)
            out+=R[first,j]/np.sqrt(1-S[first,j]**2)*np.arcsin(np.clip(C[0,1]/np.sqrt(C[0,0]*C[1,1]),-1,1))
        return out*np.cos(tau)
    return (2/np.pi)**2*quad(f,0,np.pi/2,epsabs=1e-13,epsrel=1e-13,limit=400)[0]
if __name__=="__main__":
    for d,spread in ((3,1.),(3,1.),(5,.3),(10,2.),(8,.15),(40,1.)):
        c=rng.standard_normal(d); V=np.hstack([(c+spread*rng.standard_normal((4,d)))/np.sqrt(d),np.ones((4,1))]); V/=np.linalg.norm(V,axis=1)[:,None]; R=V@V.T
        v=[product_of_signs(R,i) for i in range(4)]; G=rng.standard_normal((2*10**6,d+1)) if d<20 else None
        mc='' if G is None else 'Monte Carlo %.4f'%np.prod(np.sign(G@V.T),axis=1).mean()
        a=[np.arccos(R[i,j]) for i,j in ((0,1),(0,2),(0,3),(1,2),(1,3),(2,3))]
        print('(['+', '.join('%.16e'%x for x in a)+'], %.14e),'%v[0],'// spread %.0e'%np.ptp(v),mc); assert np.ptp(v)<1e-10
