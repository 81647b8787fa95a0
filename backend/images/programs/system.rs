//! The few system calls that the two programs make, without a C library.
use core::arch::asm;

#[cfg(target_arch = "x86_64")]
pub mod number {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const PPOLL: usize = 271;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const SOCKET: usize = 41;
    pub const BIND: usize = 49;
    pub const LISTEN: usize = 50;
    pub const SETSOCKOPT: usize = 54;
    pub const ACCEPT4: usize = 288;
    pub const SIGNALFD4: usize = 289;
    pub const WAIT4: usize = 61;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
pub mod number {
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const CLOSE: usize = 57;
    pub const PPOLL: usize = 73;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const SOCKET: usize = 198;
    pub const BIND: usize = 200;
    pub const LISTEN: usize = 201;
    pub const SETSOCKOPT: usize = 208;
    pub const ACCEPT4: usize = 242;
    pub const SIGNALFD4: usize = 74;
    pub const WAIT4: usize = 260;
    pub const EXIT_GROUP: usize = 94;
}

pub fn call(number: usize, args: [usize; 5]) -> isize {
    let result: isize;
    // SAFETY: every caller passes pointers to live memory of the length that the system call expects.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
             in("r10") args[3], in("r8") args[4], out("rcx") _, out("r11") _, options(nostack));
        #[cfg(target_arch = "aarch64")]
        asm!("svc 0", in("x8") number, inlateout("x0") args[0] as isize => result, in("x1") args[1], in("x2") args[2],
             in("x3") args[3], in("x4") args[4], options(nostack));
    }
    result
}

pub fn exit(code: usize) -> ! {
    loop {
        call(number::EXIT_GROUP, [code, 0, 0, 0, 0]);
    }
}

/// Blocks the signals and returns their mask. Process 1 would otherwise never see a TERM that it does not handle.
pub fn block(signals: &[u32]) -> u64 {
    let mask = signals.iter().fold(0u64, |m, s| m | 1 << (s - 1));
    call(number::RT_SIGPROCMASK, [0, &raw const mask as usize, 0, 8, 0]);
    mask
}

pub const SIGINT: u32 = 2;
pub const SIGTERM: u32 = 15;

/// Takes ended children away, so that none stays a zombie.
#[allow(dead_code)]
pub fn reap() {
    const WNOHANG: usize = 1;
    while call(number::WAIT4, [usize::MAX, 0, WNOHANG, 0, 0]) > 0 {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(101)
}

// The compiler may call these for copies and fills; there is no C library to supply them.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    for i in 0..count {
        // SAFETY: the caller owns `count` bytes at `to`. Volatile, lest this loop becomes a call of itself.
        unsafe { to.add(i).write_volatile(byte as u8) };
    }
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    for i in 0..count {
        // SAFETY: the caller owns both ranges of `count` bytes.
        unsafe { to.add(i).write_volatile(*from.add(i)) };
    }
    to
}

/// Named by the core library's unwinding tables; never called, since panics end the process.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
