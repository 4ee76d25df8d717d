#pragma once

namespace tessera {

/// For the body of a loop that looks for something that is a moment away: lets the other thread of the core go on meanwhile,
/// which may be the one that is waited for.
inline void spin_pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

} // namespace tessera
