"""Widths at which W9 certifies sgn f (closed form, one tail, 300 points, failure probability 1e-3) for 90% of the test points."""
import numpy as np
from flow import *
from bounds import *
from images import mnist,fashion
import warnings; warnings.filterwarnings('ignore')
for name in ('mnist','fashion'):
    X,y,Z,yz=(mnist if name=='mnist' else fashion)(ntest=300); D=setup(X,y,Z); nz=300; dl=1e-3
    for rad,anti in ((True,True),(True,False),(False,True),(False,False)):
        for T in (.01,.03,.1,.3):
            t=np.log((1 if rad else 2)*nz/dl); out=[]
            def share(m):
                B=all_bounds(D,0.,T,m,rad,anti,t,'one'); return np.mean(B['ef']<abs(T*B['F'])),B
            lo,hi=2,2**26
            while hi/lo>1.03:
                mid=int(np.sqrt(lo*hi))//2*2; 
                if mid<=lo: break
                if share(mid)[0]>=.9: hi=mid
                else: lo=mid
            B=share(1000)[1]; q=np.argsort(abs(B['F']))[int(.1*nz)]
            print(name,'rad' if rad else 'gauss','anti' if anti else 'std','T',T,'m90',hi,'| m=1000, median: F %.2f eX %.2f (normal quant %.2f) flR/T %.2f b1/T %.3f pair/T %.2f self/T %.4f'%(np.median(abs(B['F'])),np.median(B['eX']),np.median(np.sqrt(2*t*B['varX']/B['nc'])),np.median(B['flR'])/T,np.median(B['b1'])/T,np.median(B['pair'])/1000/T,np.median(B['self'])/np.sqrt(1000)/T),flush=True)
