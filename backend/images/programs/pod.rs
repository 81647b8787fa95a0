//! `/pod`: the infra container's only process. Holds the pod's namespaces open, reaps orphans, ends on TERM.
#![no_std]
#![no_main]
mod system;
use system::{SIGINT, SIGTERM, block, call, exit, number, reap};

const SIGCHLD: u32 = 17;

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let mask = block(&[SIGINT, SIGTERM, SIGCHLD]);
    loop {
        let signal = call(number::RT_SIGTIMEDWAIT, [&raw const mask as usize, 0, 0, 8, 0]);
        if signal == SIGCHLD as isize {
            reap();
        } else if signal > 0 {
            exit(0);
        }
    }
}
