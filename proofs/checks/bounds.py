"""The bounds of width.md as pure functions (reference implementation of W1-W9); g = slope, rad = Rademacher readouts."""
import numpy as np
from flow import ranges
def mu(q,rad): return 1. if rad else {2:1,3:2*np.sqrt(2/np.pi),4:3.,5:8*np.sqrt(2/np.pi),6:15.}[q]
def EB2(Cz,tz,tx,g):
    c=Cz.sum(0); e=(Cz*tz).sum(0); D=np.einsum('nz,nz->z',Cz,tx@Cz)
    return g*g*(g*c*c+(1-g)**2*(c*c/2-D/(2*np.pi)))+(1-g*g)*(g*g*c*c/2+g*(1-g)*(c*c-c*e/np.pi)+(1-g)**2*(c*c/2-(2*c*e+D)/(4*np.pi)))
def limit(Cz,tz,g): return (Cz*(g+(1-g)**2*(np.pi-tz)/(2*np.pi))).sum(0)
def chernoff(F,var,b,n,t,rad):
    """upper-tail x of W2 (arrays); golden grid over lambda"""
    F,var,b=map(np.asarray,(F,var,b)); b=np.maximum(b,F+1e-12); pi=var/(var+(b-F)**2); bp=F-var/(b-F); best=np.full(F.shape,np.inf)
    s=np.sqrt(var)+1e-300
    for k in np.linspace(-4,3,60):
        lam=np.sqrt(2*t/n)/s*10**k
        if rad:
            lb=lam*b; x=(t/n+lb+np.log(pi+(1-pi)*np.exp(lam*(bp-b))))/lam-F
        else:
            ok=(2*lam*b<1)&(2*lam*bp<1); l=np.where(ok,lam,0); x=(t/n+np.log(pi*(1-2*l*b)**-.5+(1-pi)*(1-2*l*bp)**-.5))/np.where(ok,l,1)-F; x=np.where(ok,x,np.inf)
        best=np.minimum(best,x)
    return best
def all_bounds(D,g,T,m,rad,anti,t,tail='both'):
    Cz,tz,p,pz=D['Cz'],D['tz'],D['p'],D['pz']; F=limit(Cz,tz,g); varB=np.maximum(EB2(Cz,tz,D['tx'],g)-F**2,0); nc=m//2 if anti else m
    up,lo,lam=ranges(D['C'],g); upz,loz,_=ranges(Cz,g); vu,vd=np.maximum(up,0),np.maximum(-lo,0); vuz,vdz=np.maximum(upz,0),np.maximum(-loz,0)
    bu=np.maximum(upz,g*upz); bl=np.minimum(loz,g*loz); rho=T*(bu-bl)
    xu=chernoff(F,varB,bu,nc,t,rad); xl=chernoff(-F,varB,-bl,nc,t,rad)
    eX=np.maximum(xu,xl) if tail=='both' else np.where(F>0,xl,xu)
    M=lambda q:mu(q,rad); aC=abs(Cz); sm=np.sqrt(m)
    with np.errstate(divide='ignore'): cot=abs(1/np.tan(np.maximum(tz,1e-12))); 
    first=M(3)*T*T*(1-g)/(4*sm)*((1+g)/2*(aC*(p*lam)[:,None]).sum(0)+pz*(vuz**2+vdz**2))
    b1=first+(1-g)**2/2*(aC*p[:,None]*np.minimum((M(3)*lam*T*T/(4*sm))[:,None],M(4)*T**3*(p*(vu**2+vd**2))[:,None]*cot/(6*m))).sum(0)
    pl=p*lam; sx=np.sin(D['tx']).copy(); 
    with np.errstate(divide='ignore'): inv=1/sx
    P=np.minimum(M(5)*T**3*np.sqrt(np.outer(pl,pl))/(3*sm),M(6)*T**4*np.outer(pl,pl)*inv/(4*m))
    vP=(1-g)**2*(1+g*g)/2*np.einsum('jz,jz->z',aC,P@aC); vQ=M(5)*(1-g)**2*T**3*pz/(3*sm)*(vuz**3+vdz**3); vR=(np.sqrt(vP)+np.sqrt(vQ))**2
    self_=M(3)*T*T*(1-g)**2*(1+g)/8*(aC*(p*np.diag(D['K'])/D['N'])[:,None]).sum(0)
    s=D['s']; rx=np.cos(D['tx']); vb=np.maximum(vu,vd); h=(vb[:,None]+s[:,None]*abs(rx)/s[None]*vb[None])*p[:,None]*np.where(np.isfinite(inv),inv,0)
    Dj=2*(1-g)*(abs(D['C'])*h).sum(0); vbz=np.maximum(vuz,vdz); hz=(vb[:,None]+s[:,None]*abs(np.cos(tz))/D['sz'][None]*vbz[None])*p[:,None]/np.sin(np.maximum(tz,1e-12))
    Dz=2*(1-g)*(aC*hz).sum(0)
    pair=M(4)*(1-g)*T**3*(2*(aC*(p*Dj)[:,None]).sum(0)+(1-g)/3*(aC*(p*p*(vu**2+vd**2))[:,None]*cot).sum(0)+1.5*pz*vbz*Dz)
    cR=rho/3 if rad else 7*rho/3
    flR=np.sqrt(2*vR*t/nc)+cR*t/nc
    bias=np.minimum(b1,self_/sm+pair/m)
    if rad:
        var=(T*np.sqrt(varB)+np.sqrt(vR))**2; yu=chernoff(T*F,var,T*bu+bias,nc,t,rad); yl=chernoff(-T*F,var,-T*bl+bias,nc,t,rad)
        ef=bias+(np.maximum(yu,yl) if tail=='both' else np.where(F>0,yl,yu))
    else: ef=bias+T*eX+flR
    return dict(varB=varB,bu=bu,bl=bl,F=F,varX=M(4)*(varB+F**2)-F**2,eX=eX,b1=b1,absR=2*first,vR=vR,self=self_,pair=pair,flR=flR,bias=bias,ef=ef,nc=nc,rho=rho)
