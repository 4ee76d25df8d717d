#pragma once
// What the code of this folder needs of a device. Two classes fit: cuda_device (cuda_device.cuh), and the emulated device of the
// tests, on which every kernel runs on threads of the host.
//
// A kernel is a trivially copyable function object, called once for each item with the item's number, in any order and side by
// side. Kernels of a stream run one after another. Pointers in a kernel are device pointers; the host never follows one.

#include "gpu/breakage.hpp"

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tessera::cuda {

struct any_kernel {
  void operator()(uint64_t) const {}
};
struct any_work {
  void operator()() const {}
};

// clang-format off
template <class D>
concept device_like = requires(D d, void* p, size_t n) {
  { d.name() } -> std::convertible_to<std::string>;
  d.bind();                                       // the calling thread works on this device from now on
  { d.allocate(n) } -> std::same_as<void*>;       // throws std::bad_alloc
  { d.allocate_host(n) } -> std::same_as<void*>;  // pinned; throws std::bad_alloc
  { d.allocations() } -> std::same_as<uint64_t>;  // so far, on the device; any thread
  d.release(p);
  d.release_host(p);
  d.break_down(breakage::trap);                   // a drill: what is asked of it after this fails, as do waits after a trap
  typename D::stream;
  typename D::mark;                               // a point in a stream's work; made from a device, and whether it notes the time
  typename D::recording;                          // work that is done again and again; made from a device
} && requires(D d, typename D::stream s, typename D::mark m, typename D::recording r, void* to, const void* from, size_t n,
              const uint32_t* in, const uint64_t* terms, uint64_t* sums) {
  s.upload(to, from, n);     // pinned host memory to the device
  s.download(to, from, n);   // and back
  s.fetch(to, d, from, n);   // memory of another device, or of this one, to this one
  { s.reaches(d) } -> std::same_as<bool>; // kernels of this stream can read that device's memory
  s.fill(to, n, uint8_t{});  // sets bytes
  s.launch(n, any_kernel{});                // items 0 .. n - 1
  s.launch_each(in, n, any_kernel{});       // items 0 .. *in * n - 1; *in is read on the device when the kernel starts
  s.scan(terms, sums, n);    // sums[i] = terms[0] + .. + terms[i - 1]
  s.prepare_scan(n);         // what a scan of so many needs besides; it may wait
  s.record(r, any_work{});   // what the function asks of the stream is kept, and not done; it must not wait
  s.play(r);                 // does what was recorded: much less work for the host than asking for it anew
  s.wait();                  // until all of the above is done; blocks this thread only
  s.set(m);                  // the point after all of the above; one that is set in a recording cannot be waited for
  s.after(m);                // what follows waits, on the device, for a point of another stream
  m.wait();                  // until the device has come to it; blocks this thread only
  { m.reached() } -> std::same_as<bool>;            // whether it has; does not wait
  { m.ms_since(m) } -> std::convertible_to<double>; // between two points that note the time and that the device has come to
  { s.kernels() } -> std::convertible_to<uint64_t>; // launched so far; a scan counts as one
};
// clang-format on

} // namespace tessera::cuda
