"""Loads the two image sets from IDX files (folder given, default ../../data): 1600 of MNIST 1v2, 1000 of Fashion 0v9, 300 test points."""
import gzip, os, struct, sys
import numpy as np
FOLDER=os.environ.get('PERTURBATION_DATA',os.path.join(os.path.dirname(os.path.abspath(__file__)),'..','..','data'))
def idx(name):
    b=gzip.open(os.path.join(FOLDER,name)).read(); n=b[3]; shape=struct.unpack('>'+'I'*n,b[4:4+4*n]); return np.frombuffer(b,np.uint8,offset=4+4*n).reshape(shape)
def mnist(seed=0,N=1600,ntest=300):
    X=idx('mnist-1v2/mnist-1v2-train10k-images-idx3-ubyte.gz').reshape(-1,784)/255.-0.1307; l=idx('mnist-1v2/mnist-1v2-train10k-labels-idx1-ubyte.gz')
    y=np.where(l==1,1.,-1.); p=np.random.default_rng(seed).permutation(len(X)); return X[p[:N]],y[p[:N]],X[p[N:N+ntest]],y[p[N:N+ntest]]
def fashion(seed=0,N=1000,ntest=300):
    f='fashion-0v9/fashion-0v9-'; X=idx(f+'train-images-idx3-ubyte.gz').reshape(-1,784)/255.-0.2860; l=idx(f+'train-labels-idx1-ubyte.gz')
    Z=idx(f+'t10k-images-idx3-ubyte.gz').reshape(-1,784)/255.-0.2860; lz=idx(f+'t10k-labels-idx1-ubyte.gz')
    r=np.random.default_rng(seed); p=r.permutation(len(X))[:N]; q=r.permutation(len(Z))[:ntest]; return X[p],np.where(l[p]==0,1.,-1.),Z[q],np.where(lz[q]==0,1.,-1.)
