"""Checks R1, R3: double precision against mpmath with 60 digits, random and nearly parallel inputs; the crate's two routes to an angle."""
import numpy as np, mpmath as mp
mp.mp.dps=60; rng=np.random.default_rng(0); u=2.**-53; gam=lambda k:k*u/(1-k*u); w=[0,0,0,0]; sq=lambda v:float(v@v)
def sine(x,z):
    d=len(x); p,q,c=sq(x)/d,sq(z)/d,float(x@z)/d; D=(p+q-2*c)+(p*q-c*c); M=p+q+2*abs(c)+p*q+c*c
    l,s=(x,z) if p>=q else (z,x); e=s-(np.sign(c) if 4*sq(s)>sq(l) else 0)*l; e=e-float(e@l)/sq(l)*l
    pair=np.sqrt(sq(x-z)/d+sq(l)*sq(e)/d**2); return (np.sqrt(D) if D>M/64 else pair),pair,1+c
for _ in range(600):
    d=int(rng.integers(1,30)); x=rng.standard_normal(d)*10**rng.uniform(-2,6); z=x*rng.choice([1,-1])*(1+10**rng.uniform(-12,0))+rng.standard_normal(d)*10**rng.uniform(-12,2) if rng.random()<.8 else rng.standard_normal(d)
    X,Z=[[mp.mpf(float(t)) for t in v] for v in (x,z)]; dot=mp.fsum([s*t for s,t in zip(X,Z)])
    D=mp.fsum([(s-t)**2 for s,t in zip(X,Z)])/d+mp.fsum([(X[i]*Z[j]-X[j]*Z[i])**2 for i in range(d) for j in range(i)])/mp.mpf(d)**2; ex=mp.atan2(mp.sqrt(D),1+dot/d)
    fast,pair,c=sine(x,z); err=lambda s:float(abs(mp.mpf(float(np.arctan2(s,c)))-ex))
    w[0]=max(w[0],float(abs(mp.mpf(float(x@z))-dot))/(gam(d)*float(abs(x)@abs(z)))); w[1]=max(w[1],err(fast)/(13*gam(2*d+12))); w[2]=max(w[2],err(pair)/(13*gam(2*d+12)))
    if x@z>=0 and .5<np.sqrt(sq(x)/sq(z))<2 and ex>0: w[3]=max(w[3],err(pair)/float(ex)/(gam(5*d+35)*(1+np.sqrt(max(sq(x),sq(z))/d))))
print('observed/bound: dot product %.3f, angle by both routes %.3f, %.3f, nearly parallel, relatively %.3f'%tuple(w)); assert max(w)<=1
