#pragma once
// A device that is not there: its kernels run on threads of the host, in another order each time. It is as unforgiving as it can
// be: nothing is done before somebody waits for it, new memory holds garbage, and (if asked for) device memory cannot be touched
// by the host.

#include "gpu/cuda/device.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <numeric>
#include <random>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/mman.h>

namespace tessera::test {

class emulated_device {
public:
  struct options {
    unsigned threads = 3;
    uint64_t seed = 1;
    bool guarded = false;                  ///< device memory can only be touched by kernels and copies
    size_t memory_bytes = size_t{1} << 30; ///< more cannot be allocated on the device
    std::shared_ptr<std::atomic<int>> allocations = std::make_shared<std::atomic<int>>(0);        ///< so far, of both kinds
    std::shared_ptr<std::atomic<int>> recordings = std::make_shared<std::atomic<int>>(0);         ///< made so far
    std::shared_ptr<std::atomic<bool>> host_is_full = std::make_shared<std::atomic<bool>>(false); ///< no more pinned memory
    std::shared_ptr<std::atomic<bool>> broken
      = std::make_shared<std::atomic<bool>>(false); ///< all that is asked fails from now on; GPUs of a process share it
  };
  explicit emulated_device(options o) : options_(o) {}
  ~emulated_device() {
    for (const auto& [at, bytes] : memory_)
      ::munmap(at, bytes);
  }
  emulated_device(const emulated_device&) = delete;
  emulated_device& operator=(const emulated_device&) = delete;

  [[nodiscard]] std::string name() const { return "emulated device"; }
  void bind() {}
  void break_down(breakage how) {
    check();
    if (refuses_launches_)
      throw std::runtime_error(no_launches);
    (how == breakage::trap ? *options_.broken : refuses_launches_) = true;
  }

  void* allocate(size_t bytes) {
    check();
    const std::scoped_lock lock(mutex_);
    ++*options_.allocations;
    ++on_device_;
    bytes = (bytes + 4095) & ~size_t{4095};
    if (bytes + used_ > options_.memory_bytes)
      throw std::bad_alloc{};
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
      throw std::bad_alloc{};
    std::memset(at, 0xa5, bytes);
    used_ += bytes;
    memory_[at] = bytes;
    if (options_.guarded && running_ == 0)
      ::mprotect(at, bytes, PROT_NONE);
    return at;
  }
  void release(void* at) noexcept {
    const std::scoped_lock lock(mutex_);
    const auto known = memory_.find(at);
    if (known == memory_.end())
      std::abort(); // not ours, or given back twice
    used_ -= known->second;
    ::munmap(at, known->second);
    memory_.erase(known);
  }
  void* allocate_host(size_t bytes) {
    check();
    ++*options_.allocations;
    void* at = *options_.host_is_full ? nullptr : std::malloc(std::max<size_t>(bytes, 1));
    if (at == nullptr)
      throw std::bad_alloc{};
    std::memset(at, 0xa5, bytes);
    return at;
  }
  void release_host(void* at) noexcept { std::free(at); }
  [[nodiscard]] uint64_t allocations() const { return on_device_; }

  class stream;
  /// Work that is done again and again.
  class recording {
  public:
    explicit recording(emulated_device&) {}

  private:
    friend class stream;
    std::vector<std::function<void()>> work_;
    uint64_t kernels_ = 0;
  };
  /// A point in a stream's work.
  class mark {
  public:
    explicit mark(emulated_device& device, bool timed = false) : device_(device), timed_(timed) { device.check(); }
    /// Who looks often enough finds that it is: mostly the device has come so far by itself.
    [[nodiscard]] bool reached() {
      device_.check();
      if (++looks_ % 3 != 0)
        return stream_ == nullptr || stream_->has_come_to(position_);
      wait();
      return true;
    }
    void wait() {
      device_.check();
      device_.begin();
      if (stream_ != nullptr)
        stream_->run_to(position_);
      device_.end();
      device_.check();
    }
    [[nodiscard]] double ms_since(const mark& earlier) const {
      if (!timed_ || !earlier.timed_)
        std::abort();
      return std::chrono::duration<double, std::milli>(when_ - earlier.when_).count();
    }

  private:
    friend class stream;
    emulated_device& device_;
    stream* stream_ = nullptr;
    uint64_t position_ = 0;
    bool timed_;
    uint32_t looks_ = 0;
    std::chrono::steady_clock::time_point when_;
  };

  class stream {
  public:
    explicit stream(emulated_device& device) : device_(device), random_(device.options_.seed) { device.check(); }
    void upload(void* to, const void* from, size_t bytes) { copy(to, from, bytes); }
    void download(void* to, const void* from, size_t bytes) { copy(to, from, bytes); }
    [[nodiscard]] bool reaches(const emulated_device& owner) const { return &owner == &device_; }
    void fetch(void* to, emulated_device& owner, const void* from, size_t bytes) {
      later([=, &owner] {
        owner.begin();
        if (bytes != 0)
          std::memcpy(to, from, bytes);
        owner.end();
      });
    }
    void fill(void* to, size_t bytes, uint8_t value) {
      later([=] {
        if (bytes != 0)
          std::memset(to, value, bytes);
      });
    }
    template <class Kernel>
    void launch(uint64_t items, Kernel kernel) {
      static_assert(std::is_trivially_copyable_v<Kernel>);
      device_.check_launch();
      ++kernels_;
      later([=, this] { run(items, kernel); });
    }
    template <class Kernel>
    void launch_each(const uint32_t* count, uint64_t items, Kernel kernel) {
      static_assert(std::is_trivially_copyable_v<Kernel>);
      device_.check_launch();
      ++kernels_;
      later([=, this] { run(*count * items, kernel); });
    }
    void scan(const uint64_t* in, uint64_t* out, size_t count) {
      ++kernels_;
      later([=] { std::exclusive_scan(in, in + count, out, uint64_t{0}); });
    }
    void prepare_scan(size_t) {}
    template <class Work>
    void record(recording& to, Work work) {
      to = recording(device_);
      ++*device_.options_.recordings;
      const auto kernels = kernels_;
      recording_ = &to;
      try {
        work();
      } catch (...) {
        recording_ = nullptr;
        kernels_ = kernels;
        throw;
      }
      recording_ = nullptr;
      to.kernels_ = std::exchange(kernels_, kernels) - kernels;
    }
    void play(const recording& what) {
      device_.check_launch();
      for (const auto& each : what.work_)
        later(each);
      kernels_ += what.kernels_;
    }
    void set(mark& at) {
      later([&at] { at.when_ = std::chrono::steady_clock::now(); });
      if (recording_ != nullptr)
        return;
      at.stream_ = this;
      at.position_ = asked_;
    }
    void after(mark& at) {
      later([other = at.stream_, to = at.position_] { other->run_to(to); });
    }
    void wait() {
      device_.check();
      device_.begin();
      run_to(asked_);
      device_.end();
      device_.check();
    }
    [[nodiscard]] uint64_t kernels() const { return kernels_; }
    [[nodiscard]] bool has_come_to(uint64_t position) const { return done_ >= position; }

  private:
    friend class mark;
    void later(std::function<void()> what) {
      device_.check();
      if (recording_ != nullptr)
        return recording_->work_.push_back(std::move(what));
      work_.push_back(std::move(what));
      ++asked_;
    }
    /// Does what was asked for before that position and is not done yet.
    void run_to(uint64_t position) {
      while (done_ < position) {
        const auto next = std::move(work_.front());
        work_.pop_front();
        ++done_;
        next();
      }
    }
    void copy(void* to, const void* from, size_t bytes) {
      later([=] {
        if (bytes != 0)
          std::memcpy(to, from, bytes);
      });
    }
    /// All items, in an order that depends on the seed, dealt out to the threads.
    template <class Kernel>
    void run(uint64_t items, const Kernel& kernel) {
      if (items == 0)
        return;
      const uint64_t start = random_() % items;
      uint64_t step = items < 3 ? 1 : random_() % items | 1;
      while (std::gcd(step, items) != 1)
        ++step;
      const auto part = [&](uint64_t from, uint64_t to) {
        uint64_t at = (start + from % items * (step % items)) % items; // items are far below 2^32
        for (uint64_t i = from; i < to; ++i) {
          kernel(at);
          at = (at + step) % items;
        }
      };
      const uint64_t threads = items < 64 ? 1 : std::max(1u, device_.options_.threads);
      std::vector<std::jthread> others;
      for (uint64_t t = 1; t < threads; ++t)
        others.emplace_back([&, t] { part(items * t / threads, items * (t + 1) / threads); });
      part(0, items / threads);
    }
    emulated_device& device_;
    std::mt19937_64 random_;
    std::deque<std::function<void()>> work_;
    recording* recording_ = nullptr;
    uint64_t asked_ = 0, done_ = 0;
    uint64_t kernels_ = 0;
  };

private:
  static constexpr const char* no_launches = "the emulated device takes no launches";
  void check() const {
    if (*options_.broken)
      throw std::runtime_error("the emulated device is broken");
  }
  void check_launch() const {
    if (refuses_launches_)
      throw std::runtime_error(no_launches);
  }
  void begin() {
    const std::scoped_lock lock(mutex_);
    if (running_++ == 0)
      protect(PROT_READ | PROT_WRITE);
  }
  void end() {
    const std::scoped_lock lock(mutex_);
    if (--running_ == 0)
      protect(PROT_NONE);
  }
  void protect(int access) {
    if (options_.guarded)
      for (const auto& [at, bytes] : memory_)
        ::mprotect(at, bytes, access);
  }
  options options_;
  std::mutex mutex_;
  std::map<void*, size_t> memory_;
  size_t used_ = 0;
  std::atomic<uint64_t> on_device_ = 0; ///< allocations
  std::atomic<bool> refuses_launches_ = false;
  int running_ = 0;
};

} // namespace tessera::test
