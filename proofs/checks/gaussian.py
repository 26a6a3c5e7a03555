"""Reference implementation of W12 and the widths it certifies on the image sets."""
import numpy as np
from scipy.special import erfc, erf
from flow import *
from bounds import *
def parts(D,g,T,m,nb=60,amax=7.):
    """given |alpha|=a: the mean's bound at the bins' upper edges, v_R(a)/T^2 as p1*a+p2*a^2 and q1*a, growth of the second moment per a, F"""
    Cz,p,pz=D['Cz'],D['p'],D['pz']; up,lo,lam=ranges(D['C'],g); upz,loz,_=ranges(Cz,g); vuz,vdz=np.maximum(upz,0),np.maximum(-loz,0)
    aC=abs(Cz); sm=np.sqrt(m); means=[mean_drift(D,g,T,a/sm,a/sm)/T for a in np.linspace(0,amax,nb+1)[1:]]; pl=p*lam
    with np.errstate(divide='ignore'): inv=1/np.sin(D['tx'])
    P1=T*np.sqrt(np.outer(pl,pl))/(3*sm); P2=T**2*np.outer(pl,pl)*inv/(4*m); u=P2<P1; f=(1-g)**2*(1+g*g)/2
    q=lambda M:f*np.einsum('jz,jz->z',aC,M@aC)
    return means,q(np.where(u,0,P1)),q(np.where(u,P2,0)),(1-g)**2*T*pz/(3*sm)*(vuz**3+vdz**3),block_growth(D,g,T,1/sm)/T**2
def gaussian_ef(F,varB,b,pr,n,t,nb=60,amax=7.,grid=np.linspace(-2.5,.7,45)):
    """upper tail; returns x with P(mean Y/T - F >= x) <= e^-t, bias included"""
    means,p1,p2,q1,grow=pr; ed=np.linspace(0,amax,nb+1); from math import sqrt
    ph=lambda a:np.exp(-a*a/2)/np.sqrt(2*np.pi); Pb=erf(ed[1:]/sqrt(2))-erf(ed[:-1]/sqrt(2)); Ew=(Pb+2*(ed[:-1]*ph(ed[:-1])-ed[1:]*ph(ed[1:])))/Pb  # E[omega|bin]
    best=np.full(F.shape,np.inf); bpos=np.maximum(b,0)
    sd=np.sqrt(3*(varB+F**2)-F**2)
    for k in grid:
        lam=np.sqrt(2*t/n)/sd*10**k; ok=2*lam*bpos<.999; l=np.where(ok,lam,0); I=np.where(ok,(1-2*l*bpos)**-.5*erfc(amax*np.sqrt((1-2*l*bpos)/2)),np.inf)
        for a1,a2,P,ew,be in zip(ed[:-1],ed[1:],Pb,Ew,means):
            var=np.minimum((np.sqrt(varB)+np.sqrt(p1*a2+p2*a2*a2)+np.sqrt(q1*a2))**2,varB+F**2+grow*a2-np.maximum(abs(F)-be,0)**2); up=np.maximum(b,F)+be; pi=var/(var+(up-F)**2); bp=F-var/(up-F)
            w2=(ew-a1*a1)/(a2*a2-a1*a1)
            for w,om in ((1-w2,a1*a1),(w2,a2*a2)):
                s=l*om; I=I+P*w*np.exp(s*be)*(pi*np.exp(s*up)+(1-pi)*np.exp(s*bp))
        best=np.minimum(best,np.where(ok,(t/n+np.log(I))/np.where(ok,l,1)-F,np.inf))
    return best
if __name__=="__main__":
  from images import mnist,fashion
  for name in ('mnist','fashion'):
    X,y,Z,yz=(mnist if name=='mnist' else fashion)(ntest=300); D=setup(X,y,Z); nz=300; t=np.log(nz/1e-3); F=limit(D['Cz'],D['tz'],0.); varB=EB2(D['Cz'],D['tz'],D['tx'],0.)-F**2; up,lo,_=ranges(D['Cz'],0.)
    for T in (.01,.03,.1,.3):
      def share(m,anti):
        pr=parts(D,0.,T,m); n=m//2 if anti else m; s=np.sign(F); e=gaussian_ef(-abs(F),varB,np.where(F>0,-np.minimum(lo,0),np.maximum(up,0)),pr,n,t); return np.mean(e<abs(F)),e
      out=[]
      for anti in (True,False):
        lo_,hi=2,2**20
        while hi/lo_>1.05:
            mid=int(np.sqrt(lo_*hi))//2*2
            if mid<=lo_: break
            if share(mid,anti)[0]>=.9: hi=mid
            else: lo_=mid
        out.append(hi)
      print(name,'Gaussian T',T,'m90 anti, std',out,flush=True)
