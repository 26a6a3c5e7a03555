"""Checks W9, W12, W11, P7, P8, G8 on trained networks: no bound may be exceeded more often than its failure probability allows."""
import numpy as np; from flow import *; from bounds import *; from gaussian import parts,gaussian_ef; from pair import Direction,dirs
rng=np.random.default_rng(7); g=0.; R=150
for (N,d,T,m) in ((20,5,.5,200),(40,30,.3,400),(10,2,1.,100)):
    X=rng.standard_normal((N,d)); y=rng.choice([-1.,1.],N); Z=rng.standard_normal((4,d)); D=setup(X,y,Z); phi=lambda u:np.maximum(u,g*u)
    F=limit(D['Cz'],D['tz'],g); varB=EB2(D['Cz'],D['tz'],D['tx'],g)-F**2; up,lo,_=ranges(D['Cz'],g)
    v,b=dirs(D); dn=v+b; nd=np.linalg.norm(dn,axis=1); t=np.log(4/.05)
    o=Direction(D,dn,np.linalg.norm(b,axis=1),T,m,g,flow=False); a,yv,S=o.own(t)/nd,o.norm(t)/nd,o.single(Z.T,t)/nd[:,None]
    for rad in (True,False):
        ef=all_bounds(D,g,T,m,rad,True,np.log(2/.05),'both')['ef']; xg=T*gaussian_ef(F,varB,np.maximum(up,0),parts(D,g,T,m),m//2,np.log(1/.05))
        dev=[];gr=[];nrm=[];al=[];f0=[]
        for _ in range(R):
            U,Uz,w,bb=draw(D,m//2,rng); q=np.ones(m//2) if rad else abs(rng.standard_normal(m//2)); f=0; G=0
            for s in (1,-1):
                A=s*q/np.sqrt(m); UT,UzT,I=flow(D,U,Uz,A,T,g,150); f=f+(A*phi(UzT)).sum(1); wT=w+A*(X.T@((y[:,None]/N)*I)); G=G+((UT>=0)*A)@wT.T
            dev.append(f-T*F); dl=G/T-dn; gr.append(abs(dl@Z.T)/nd[:,None]); nrm.append(np.linalg.norm(dl,axis=1)/nd); al.append(abs((dl*dn).sum(1))/nd**2)
        dev=np.array(dev); print(f"N={N} m={m} {'Rademacher' if rad else 'Gaussian'}: 95% quantile/e_f {np.max(np.quantile(abs(dev),.95,axis=0)/ef):.2f} exceed {np.mean(abs(dev)>ef):.3f}",'' if rad else f" W12 upper: 95% quantile/x {np.max(np.quantile(dev,.95,axis=0)/xg):.2f} exceed {np.mean(dev>xg):.3f}",flush=True)
        assert np.mean(abs(dev)>ef)<=.05 and (rad or np.mean(dev>xg)<=.08)
        if rad: print(f"   P7 single: q95/S {np.max(np.quantile(gr,.95,axis=0)/S):.2f}  P8 norm: q95/y {np.max(np.quantile(nrm,.95,axis=0)/yv):.2f}  P7 along d_n: q95/a {np.max(np.quantile(al,.95,axis=0)/a):.2f}",flush=True); assert np.mean(np.array(nrm)>yv)<=.05 and np.mean(np.array(gr)>S)<=.05
