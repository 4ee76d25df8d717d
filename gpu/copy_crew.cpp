#include "gpu/copy_crew.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <semaphore>

namespace tessera {

struct copy_crew::order {
  std::counting_semaphore<> done{0};
};

copy_crew::copy_crew(unsigned helpers) {
  for (unsigned i = 0; i < helpers; ++i)
    helpers_.emplace_back([this] { work(); });
}

copy_crew::~copy_crew() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_all();
}

void copy_crew::copy(void* to, const void* from, size_t bytes) {
  const size_t pieces = std::min(helpers_.size() + 1, bytes / least_piece);
  if (pieces < 2) {
    if (bytes != 0)
      std::memcpy(to, from, bytes);
    return;
  }
  order mine;
  const auto part = [&](size_t i) {
    const size_t first = bytes * i / pieces, end = bytes * (i + 1) / pieces;
    return piece{&mine, static_cast<std::byte*>(to) + first, static_cast<const std::byte*>(from) + first, end - first};
  };
  {
    const std::scoped_lock lock(mutex_);
    for (size_t i = 1; i < pieces; ++i)
      waiting_.push_back(part(i));
  }
  for (size_t i = 1; i < pieces; ++i)
    wanted_.notify_one();
  do_piece(part(0));
  // Those that nobody has begun with: the helpers may be busy for others.
  for (;;) {
    std::optional<piece> mine_still;
    {
      const std::scoped_lock lock(mutex_);
      const auto at = std::find_if(waiting_.begin(), waiting_.end(), [&](const piece& p) { return p.of == &mine; });
      if (at == waiting_.end())
        break;
      mine_still = *at;
      waiting_.erase(at);
    }
    do_piece(*mine_still);
  }
  for (size_t i = 0; i < pieces; ++i)
    mine.done.acquire();
}

void copy_crew::do_piece(const piece& p) {
  std::memcpy(p.to, p.from, p.bytes);
  p.of->done.release();
}

void copy_crew::work() {
  for (;;) {
    std::unique_lock lock(mutex_);
    wanted_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty())
      return;
    const piece next = waiting_.front();
    waiting_.pop_front();
    lock.unlock();
    do_piece(next);
  }
}

} // namespace tessera
