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
def mean_drift(D,g,T,outer,inner,compare=True):
    """W5 (compare=False) and W7: bound on |E R|; outer = mu3/sqrt(m), inner = mu4/(mu3 sqrt(m)); given |alpha|=a, divided by omega: outer = inner = a/sqrt(m)"""
    C,Cz,tz,tx,p,pz,s=D['C'],D['Cz'],D['tz'],D['tx'],D['p'],D['pz'],D['s']; up,lo,lam=ranges(C,g); upz,loz,_=ranges(Cz,g); vu,vd=np.maximum(up,0),np.maximum(-lo,0); vuz,vdz=np.maximum(upz,0),np.maximum(-loz,0)
    aC=abs(Cz); y=inner*T; cot=abs(1/np.tan(np.maximum(tz,1e-12))); corr=2/3*y*(p*(vu**2+vd**2))[:,None]*cot; corr=np.minimum(lam[:,None],corr)
    A=p[:,None]*((1+g)/2*lam[:,None]+(1-g)/2*corr); Q=vuz**2+vdz**2; B=np.inf
    if compare:
        vb=np.maximum(vu,vd); vbz=np.maximum(vuz,vdz); own=abs(np.diag(C))
        rt,_=reach(D,g,vb,vb,C,tx,s); _,rz=reach(D,g,vb,vbz,Cz,tz,D['sz']); np.fill_diagonal(rt,0)
        Dj=(1-g)*(abs(C)*np.minimum(1,4/3*y*rt)).sum(0); Dz=(1-g)*(aC*np.minimum(1,2*y*rz)).sum(0)
        B=p[:,None]*((1+g)/2*(Dj+(1-g)*own)[:,None]+(1-g)*corr); Q=np.minimum(Q,2*vbz*Dz)
    return outer*(1-g)*T*T/4*((aC*np.minimum(A,B)).sum(0)+pz*Q)
def reach(D,g,vb,vx,Cx,tx,sx):
    """p_l H_l/sin and p_l H'_l/sin of W7 for points x with signed Gram matrix Cx, angles tx, norms sx, fastest velocities vx"""
    C,s=D['C'],D['s']; c=abs(s[:,None]*np.cos(tx)/sx[None]); cs=s[:,None]*np.cos(tx)/sx[None]; n=len(s)
    k2=n*((C*C).sum(0)[:,None]-2*cs*(C.T@Cx)+cs**2*(Cx*Cx).sum(0)[None]); k=np.minimum(np.sqrt(np.maximum(k2,0)),abs(C).sum(0)[:,None]+c*abs(Cx).sum(0)[None])
    W=((1-g)*k+(1+g)*abs(C.sum(0)[:,None]-cs*Cx.sum(0)[None]))/2; H=np.maximum(W,c*vx[None]); H2=np.maximum(H,np.minimum(vb[:,None],W+c*vx[None]))
    with np.errstate(divide='ignore',invalid='ignore'): f=D['p'][:,None]/np.sin(tx)
    return f*H,f*H2
def block_growth(D,g,T,q):
    """W17: E Y^2 <= T^2 E B^2 + this, given |a|=q"""
    up,lo,lam=ranges(D['C'],g); uz,lz,lamz=ranges(D['Cz'],g); vz=np.maximum(np.maximum(uz,0),np.maximum(-lz,0))
    return q*T**3*(vz*(1+g*g)/2*(1-g)*(abs(D['Cz'])*(D['p']*lam)[:,None]).sum(0)+(1-g*g)/4*D['pz']*lamz*vz**2)
def all_bounds(D,g,T,m,rad,anti,t,tail='both'):
    Cz,tz,p,pz=D['Cz'],D['tz'],D['p'],D['pz']; F=limit(Cz,tz,g); varB=np.maximum(EB2(Cz,tz,D['tx'],g)-F**2,0); nc=m//2 if anti else m
    up,lo,lam=ranges(D['C'],g); upz,loz,_=ranges(Cz,g); vuz,vdz=np.maximum(upz,0),np.maximum(-loz,0)
    bu=np.maximum(upz,g*upz); bl=np.minimum(loz,g*loz); rho=T*(bu-bl)
    xu=chernoff(F,varB,bu,nc,t,rad); xl=chernoff(-F,varB,-bl,nc,t,rad)
    eX=np.maximum(xu,xl) if tail=='both' else np.where(F>0,xl,xu)
    M=lambda q:mu(q,rad); aC=abs(Cz); sm=np.sqrt(m)
    first=M(3)*T*T*(1-g)/(4*sm)*((1+g)/2*(aC*(p*lam)[:,None]).sum(0)+pz*(vuz**2+vdz**2))
    b1=mean_drift(D,g,T,M(3)/sm,M(4)/M(3)/sm,False); bias=mean_drift(D,g,T,M(3)/sm,M(4)/M(3)/sm)
    pl=p*lam; sx=np.sin(D['tx']).copy()
    with np.errstate(divide='ignore'): inv=1/sx
    P=np.minimum(M(5)*T**3*np.sqrt(np.outer(pl,pl))/(3*sm),M(6)*T**4*np.outer(pl,pl)*inv/(4*m))
    vP=(1-g)**2*(1+g*g)/2*np.einsum('jz,jz->z',aC,P@aC); vQ=M(5)*(1-g)**2*T**3*pz/(3*sm)*(vuz**3+vdz**3); vR=(np.sqrt(vP)+np.sqrt(vQ))**2
    cR=rho/3 if rad else 7*rho/3
    flR=np.sqrt(2*vR*t/nc)+cR*t/nc
    if rad:
        var=np.minimum((T*np.sqrt(varB)+np.sqrt(vR))**2,T*T*(varB+F**2)+block_growth(D,g,T,1/sm)-np.maximum(T*abs(F)-bias,0)**2); yu=chernoff(T*F,var,T*bu+bias,nc,t,rad); yl=chernoff(-T*F,var,-T*bl+bias,nc,t,rad)
        ef=bias+(np.maximum(yu,yl) if tail=='both' else np.where(F>0,yl,yu))
    else: ef=bias+T*eX+flR
    return dict(varB=varB,bu=bu,bl=bl,F=F,varX=M(4)*(varB+F**2)-F**2,eX=eX,b1=b1,absR=2*first,vR=vR,flR=flR,bias=bias,ef=ef,nc=nc,rho=rho)
