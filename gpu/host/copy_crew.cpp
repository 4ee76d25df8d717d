#include "gpu/host/copy_crew.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <algorithm>
#include <cstring>
#include <future>
#include <vector>

namespace tessera {

struct copy_crew::threads {
  boost::asio::thread_pool pool;
};

copy_crew::copy_crew(unsigned helpers) : helpers_(helpers), pool_(helpers != 0 ? new threads{{helpers}} : nullptr) {}
copy_crew::~copy_crew() = default;

void copy_crew::copy(void* to, const void* from, size_t bytes) {
  const size_t pieces = std::clamp<size_t>(bytes / least_piece, 1, helpers_ + 1);
  const auto copy_piece = [=](size_t i) {
    const size_t first = bytes * i / pieces, end = bytes * (i + 1) / pieces;
    if (first != end)
      std::memcpy(static_cast<std::byte*>(to) + first, static_cast<const std::byte*>(from) + first, end - first);
  };
  std::vector<std::future<void>> others;
  others.reserve(pieces - 1);
  for (size_t i = 1; i < pieces; ++i)
    others.push_back(boost::asio::post(pool_->pool, boost::asio::use_future([=] { copy_piece(i); })));
  copy_piece(0);
  for (auto& other : others)
    other.get();
}

} // namespace tessera
