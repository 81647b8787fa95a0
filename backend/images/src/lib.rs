//! The two images that the tutorial needs, made from our own tiny static programs, so that nothing is pulled.
use bytes::Bytes;

/// An image made here: what to call it and what to run in it.
pub struct Image {
    /// `openshift/hello-openshift:latest`.
    pub name: &'static str,
    /// Absolute path of the program in the image; also its entrypoint.
    pub program: &'static str,
    binary: &'static [u8],
}

/// Holds a pod's namespaces open.
pub static POD: Image =
    Image { name: "openshift/origin-pod:v0.4.1", program: "/pod", binary: include_bytes!(concat!(env!("OUT_DIR"), "/pod")) };

/// The tutorial's web server.
pub static HELLO_OPENSHIFT: Image = Image {
    name: "openshift/hello-openshift:latest",
    program: "/hello-openshift",
    binary: include_bytes!(concat!(env!("OUT_DIR"), "/hello_openshift")),
};

impl Image {
    /// The image's root file system as a tar.
    pub fn root(&self) -> Bytes {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(self.binary.len() as u64);
        tar.append_data(&mut header, self.program.trim_start_matches('/'), self.binary).expect("writing to memory cannot fail");
        Bytes::from(tar.into_inner().expect("writing to memory cannot fail"))
    }
}
