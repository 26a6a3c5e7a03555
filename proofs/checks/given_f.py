"""Widths at which A2 certifies sgn g given f (inputs of g at their limit r_infinity) for 90% of the points with F G > 0."""
import numpy as np
from flow import *
from bounds import *
from pair import dirs
from images import mnist,fashion
import warnings; warnings.filterwarnings('ignore')
rng=np.random.default_rng(0)
for name in ('mnist','fashion'):
    X,y,Z,yz=(mnist if name=='mnist' else fashion)(ntest=300); D=setup(X,y,Z); N=len(y); nz=300; dl=1e-3; F=limit(D['Cz'],D['tz'],0.)
    v,b=dirs(D); nv,nb=np.linalg.norm(v,axis=1),np.linalg.norm(b,axis=1); dn=v+b; q=dn/np.linalg.norm(dn,axis=1)[:,None]
    print(name,'|v|',np.median(nv),'|b|',np.median(nb),'cos(v,v+b)',np.median((v*q).sum(1)/nv),'pd E|V|')
    for sc,eps in (('a',.14),('a',1.4),('b',1.4),('b',5.)):
        for bal in ((False,True) if sc=='a' else (True,)):
            yp=rng.choice([-1.,1.],N) if not bal else rng.permutation(np.where(np.arange(N)%2==0,1.,-1.)); r=eps*yp[:,None]*q+(X if sc=='b' else 0)
            E=setup(r,yp,Z); G=limit(E['Cz'],E['tz'],0.)
            t=np.log(nz/dl)
            for T in ((.1,1.) if sc=='a' else (.03,.1)):
              for rad in (True,):
                def share(m):
                    B=all_bounds(E,0.,T,m,rad,True,t if rad else np.log(2*nz/dl),'one'); ok=B['ef']<abs(T*G); s=(F*G>0); return np.mean(ok[s]),B
                lo,hi=2,2**26
                while hi/lo>1.05:
                    mid=int(np.sqrt(lo*hi))//2*2
                    if mid<=lo: break
                    if share(mid)[0]>=.9: hi=mid
                    else: lo=mid
                B=share(10000)[1]
                print(name,sc,eps,'balanced' if bal else 'random','T\'',T,'agree FG %.3f'%np.mean(F*G>0),'m90(g|f)',hi,'med|G| %.3f 10%% %.3f sdX %.3f m=1e4: eX %.3f b1/T %.4f'%(np.median(abs(G)),np.percentile(abs(G)[F*G>0],10),np.median(np.sqrt(B['varX'])),np.median(B['eX']),np.median(B['b1'])/T),flush=True)
