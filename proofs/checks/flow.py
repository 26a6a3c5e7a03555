"""Small-scale simulator of single-neuron flows (fine Euler steps) shared by the checks; gamma, any data."""
import numpy as np
def setup(X,y,Z):
    N,d=X.shape; At=lambda P:np.hstack([P,np.ones((len(P),1))]); K=At(X)@At(X).T; Kz=At(X)@At(Z).T
    s=np.sqrt(1+(X*X).sum(1)/d); sz=np.sqrt(1+(Z*Z).sum(1)/d)
    C=y[:,None]*K/N; Cz=y[:,None]*Kz/N     # C[j,k]=C_j(x_k)
    rz=(1+(Kz-1)/d)/np.outer(s,sz); rx=(1+(K-1)/d)/np.outer(s,s)
    ang=lambda r:np.arccos(np.clip(r,-1,1)); tz=ang(rz); tx=ang(rx); np.fill_diagonal(tx,0)
    return dict(N=N,d=d,y=y,K=K,C=C,Cz=Cz,s=s,sz=sz,tz=tz,tx=tx,p=1/np.sqrt(2*np.pi)/s,pz=1/np.sqrt(2*np.pi)/sz,X=X,Z=Z)
def ranges(C,g):
    kp=np.maximum(C,0).sum(0); km=np.maximum(-C,0).sum(0); up=kp-g*km; lo=g*kp-km
    return up,lo,np.maximum(up,0)+np.maximum(-lo,0)
def draw(D,M,rng):
    d=D['d']; w=rng.standard_normal((d,M))/np.sqrt(d); b=rng.standard_normal(M)
    return D['X']@w+b, D['Z']@w+b, w, b
def flow(D,U,Uz,a,T,g,steps=200):
    """returns U_T, Uz_T and the time integral of phi'(u_k); a: array (M,) of readouts."""
    U=U.copy(); Uz=Uz.copy(); dt=T/steps; I=np.zeros_like(U)
    for _ in range(steps):
        dp=np.where(U>=0,1.,g); I+=dt*dp
        Uz+=a*dt*(D['Cz'].T@dp); U+=a*dt*(D['C'].T@dp)
    return U,Uz,I
def drift(D,U,Uz,a,T,g,steps=400):
    """R/omega per neuron and test point"""
    phi=lambda u:np.maximum(u,g*u)
    dz=np.where(Uz>=0,1.,g); V0=D['Cz'].T@np.where(U>=0,1.,g)
    UT,UzT,_=flow(D,U,Uz,a,T,g,steps)
    return (phi(UzT)-phi(Uz))/a-T*dz*V0
