"""Checks D1, D3-D8 numerically: Monte Carlo (5 sigma), finite differences, random search for violations."""
import numpy as np
rng=np.random.default_rng(0)
def A(x): return np.append(x/np.sqrt(len(x)),1.)
def ang(a,b):
    a=a/np.linalg.norm(a); b=b/np.linalg.norm(b)
    return 2*np.arctan2(np.linalg.norm(a-b),np.linalg.norm(a+b))
def Phi(th,g): return g+(1-g)**2*(np.pi-th)/(2*np.pi)
for g in (0.,.3,.9):
    X=rng.standard_normal((3,4))*2; a=[A(x) for x in X]; s=[np.linalg.norm(v) for v in a]
    xi=rng.standard_normal((2_000_000,5)); U=[xi@v for v in a]
    dp=[np.where(u>=0,1,g) for u in U]; ph=[np.maximum(u,g*u) for u in U]
    th={(i,j):ang(a[i],a[j]) for i in range(3) for j in range(3)}
    def mc(v,t,n):
        z=(v.mean()-t)/(v.std()/np.sqrt(len(v))); assert abs(z)<5,(n,z)
    mc(dp[0]*dp[1],Phi(th[0,1],g),'D1')
    c=a[0]@a[1]; t=th[0,1]
    mc(ph[0]*ph[1],g*c+(1-g)**2*s[0]*s[1]*(np.sin(t)+(np.pi-t)*np.cos(t))/(2*np.pi),'D3')
    P=lambda i,j:.5-th[i,j]/(2*np.pi)
    for q in (1,2):
        for (n,k) in ((1,2),(1,1)):
            P3=.5-(th[0,n]+th[0,k]+th[n,k])/(4*np.pi)
            mc(dp[0]**q*dp[n]*dp[k],g**q*Phi(th[n,k],g)+(1-g**q)*(g*g/2+g*(1-g)*(P(0,n)+P(0,k))+(1-g)**2*P3),'D7')
worst=[0,0,0,0]
for _ in range(200000):
    d=rng.integers(1,5); r=rng.standard_normal(d)*10**rng.uniform(-1,1.5); q=r+rng.standard_normal(d)*10**rng.uniform(-3,1.5)
    e=np.linalg.norm(r-q)/np.sqrt(d); s,t=np.linalg.norm(A(r)),np.linalg.norm(A(q)); al=ang(A(r),A(q)); ss=max(1,(s+t-e)/2)
    for i,b in enumerate((e/ss,2*np.arctan(e/2),2*np.arcsin(min(1,e/(s+t))))): worst[i]=max(worst[i],al/b)
    u,v=np.linalg.norm(r),np.linalg.norm(q); worst[3]=max(worst[3],np.linalg.norm(r/u-q/v)*(u+v)/2/np.linalg.norm(r-q))
print('D5, D6 worst observed/bound (must be <= 1):',worst); assert max(worst)<=1+1e-9
x,z=rng.standard_normal((2,5)); g=.2; h=1e-6
G=np.array([(Phi(ang(A(x),A(z+h*e)),g)-Phi(ang(A(x),A(z-h*e)),g))/(2*h) for e in np.eye(5)])
sx,sz=np.linalg.norm(A(x)),np.linalg.norm(A(z)); rho=A(x)@A(z)/sx/sz; th=ang(A(x),A(z))
F=(1-g)**2/(2*np.pi*5*np.sin(th))*(x/sx/sz-rho*z/sz**2); assert np.allclose(G,F,atol=1e-8); assert np.linalg.norm(F)<=(1-g)**2/(2*np.pi*np.sqrt(5)*sz)
print('ok')
