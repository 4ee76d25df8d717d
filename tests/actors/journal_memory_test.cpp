// A journal's threads live on, and answer, whichever memory they do not get.

#include "failing_memory.hpp"
#include "faulty_disk.hpp"
#include "journal_folder.hpp"

#include <catch2/catch.hpp>

#include <execinfo.h>
#include <link.h>
#include <pthread.h>

#include <array>
#include <set>
#include <span>
#include <string_view>

using namespace tessera;
using namespace tessera::toy;

namespace {

/// Where RocksDB's instructions are.
struct code_range {
  uintptr_t begin = 0, end = 0;

  code_range() {
    ::dl_iterate_phdr(
      [](dl_phdr_info* one, size_t, void* self) {
        if (std::string_view{one->dlpi_name}.find("librocksdb") == std::string_view::npos)
          return 0;
        for (const auto& part : std::span{one->dlpi_phdr, one->dlpi_phnum})
          if (part.p_type == PT_LOAD && (part.p_flags & PF_X) != 0)
            *static_cast<code_range*>(self) = {one->dlpi_addr + part.p_vaddr, one->dlpi_addr + part.p_vaddr + part.p_memsz};
        return 1;
      },
      this);
  }
  code_range(uintptr_t b, uintptr_t e) : begin{b}, end{e} {}
  [[nodiscard]] bool holds(const void* at) const {
    return reinterpret_cast<uintptr_t>(at) >= begin && reinterpret_cast<uintptr_t>(at) < end;
  }
};

/// What RocksDB asks for it always gets: in the middle of a write it could not go on without.
bool is_asked_by_the_journal() {
  std::array<char, 16> name{};
  if (::pthread_getname_np(::pthread_self(), name.data(), name.size()) != 0
      || !std::string_view{name.data()}.starts_with("journal"))
    return false;
  static const code_range rocks;
  std::array<void*, 64> callers{};
  const auto count = static_cast<size_t>(::backtrace(callers.data(), static_cast<int>(callers.size())));
  return std::none_of(callers.begin(), callers.begin() + count, [](const void* one) { return rocks.holds(one); });
}

/// An answer that asks for no memory.
struct heard {
  std::atomic<int> what{-1}; ///< 0, 1: the answer; 2: there was no memory; 3: something else failed
  void wait() {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{30};
    while (what < 0 && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::microseconds{100});
  }
  void tell(bool did, const std::exception_ptr& failure) {
    try {
      if (failure)
        std::rethrow_exception(failure);
      what = did;
    } catch (const std::bad_alloc&) {
      what = 2;
    } catch (...) {
      what = 3;
    }
  }
};

/// Asks while memory is short; answers whether it was to the end.
template <class Ask>
std::pair<int, bool> short_of_memory(int times, Ask ask) {
  heard its;
  const failing_memory memory{times, is_asked_by_the_journal};
  ask([&its](auto result, const std::exception_ptr& failure) { its.tell(static_cast<bool>(result), failure); });
  its.wait();
  return {its.what, memory.failed()};
}

} // namespace

TEST_CASE("a journal that gets no memory says so, loses nothing and goes on, whatever it was for") {
  const temporary_folder folder;
  uint64_t refused = 0;
  std::set<std::string> kept;
  {
    const auto store = open_store(folder / "j");
    auto was_short = true;
    for (int times = 1; was_short && times < 1000; ++times) {
      const auto id = std::to_string(times);
      const auto frame = a_frame(id, 100, 1);
      const auto [answer, so] = short_of_memory(times, [&](auto tell) { store->put(frame, tell); });
      was_short = so;
      CAPTURE(times);
      REQUIRE((answer == 1 || answer == 2));
      refused += answer == 2;
      CHECK(get(*store, {id}).has_value() == (answer == 1));
      if (answer == 1)
        kept.insert(id);
    }
    CHECK(refused > 5);
    for (const auto* id : {"a", "b", "c", "d", "e"}) {
      CHECK(put(*store, a_frame(id, 100, 1)));
      kept.insert(id);
    }
    for (int times = 1; times <= 12; ++times) {
      const auto [answer, so] = short_of_memory(times, [&](auto tell) { store->get({*kept.begin()}, tell); });
      CHECK((answer == 1 || answer == 2));
    }
    for (int times = 1; times <= 4; ++times) { // what must be written is, later
      CHECK(short_of_memory(times, [&](auto tell) { store->erase({*kept.begin()}, tell); }).first == 1);
      kept.erase(kept.begin());
    }
    CHECK(store->usage().keyframes == kept.size());
  }
  const auto store = open_store(folder / "j");
  CHECK(store->usage().keyframes == kept.size());
  for (const auto& id : kept)
    CHECK(get(*store, {id}));
}

TEST_CASE("an answer that throws ends nothing") {
  const temporary_folder folder;
  std::atomic<int> told{0};
  const auto store = std::make_shared<journal_store>(
    std::make_shared<journal>(folder / "j", uint64_t{16} << 20), [&](severity how, const std::string& text) {
      told += how == severity::error && text.find("no such thing") != std::string::npos;
    });
  store->put(a_frame("a", 10, 1), [](bool, const std::exception_ptr&) { throw std::runtime_error("no such thing"); });
  store->get({"a"},
             [](const std::optional<stored_keyframe>&, const std::exception_ptr&) { throw std::runtime_error("no such thing"); });
  CHECK(get(*store, {"a"}));
  CHECK(put(*store, a_frame("b", 10, 1)));
  CHECK(told == 2);
}
