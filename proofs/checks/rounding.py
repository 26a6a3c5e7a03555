"""Checks R1, R3: double precision against mpmath with 60 digits, random and nearly parallel inputs."""
import numpy as np, mpmath as mp
mp.mp.dps=60; rng=np.random.default_rng(0); u=2.**-53; gam=lambda k:k*u/(1-k*u); w=0; w2=0
for _ in range(300):
    d=int(rng.integers(1,30)); x=rng.standard_normal(d)*10**rng.uniform(-2,3); z=x*rng.choice([1,-1])+rng.standard_normal(d)*10**rng.uniform(-12,2) if rng.random()<.7 else rng.standard_normal(d)
    def hat(v): a=np.append(v/np.sqrt(d),1.); return a/np.linalg.norm(a)
    a,b=hat(x),hat(z); th=2*np.arctan2(np.linalg.norm(a-b),np.linalg.norm(a+b)); su=2*np.arctan2(np.linalg.norm(a+b),np.linalg.norm(a-b))
    A=mp.matrix([mp.mpf(t)/mp.sqrt(d) for t in x]+[1]); B=mp.matrix([mp.mpf(t)/mp.sqrt(d) for t in z]+[1]); A/=mp.norm(A); B/=mp.norm(B); ex=2*mp.atan2(mp.norm(A-B),mp.norm(A+B))
    w=max(w,float(abs(mp.mpf(th)-ex))/(6*gam(d+12)),float(abs(mp.mpf(su)-(mp.pi-ex)))/(6*gam(d+12)))
    dot=float(x@z); e=mp.fsum([mp.mpf(s)*mp.mpf(t) for s,t in zip(x,z)]); w2=max(w2,float(abs(mp.mpf(dot)-e))/(gam(d)*float(abs(x)@abs(z))))
print('angle error/bound %.3f, dot product error/bound %.3f'%(w,w2)); assert w<=1 and w2<=1
