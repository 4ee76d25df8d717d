#include "net/sources/shm/segment_crew.hpp"

#include "messages/thread_name.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace tessera {

namespace {

/// A thread is woken for so many pieces: fewer are read before it is awake.
constexpr size_t pieces_each = 8;

} // namespace

segment_crew::segment_crew(uint32_t readers, std::function<void()> on_read) : reads_(readers > 1), on_read_(std::move(on_read)) {
  for (uint32_t i = 0; i < std::max(readers, 1u); ++i)
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
}

segment_crew::~segment_crew() {
  leave_all();
  clear_all();
}

std::shared_ptr<segment_reading> segment_crew::begin(std::shared_ptr<shm_segment> segment) {
  auto reading = std::make_shared<segment_reading>(std::move(segment));
  size_t unread = 0;
  {
    const lock held(mutex_);
    readings_.push_back(reading);
    unread = unread_ += reading->segment_->pieces();
  }
  // No more threads than have something to do when they are awake.
  if (reads_)
    for (size_t i = 0; i < std::min(threads_.size(), unread / pieces_each); ++i)
      wanted_.notify_one();
  return reading;
}

bool segment_crew::help() {
  lock held(mutex_);
  return read_one(held);
}

void segment_crew::read(const std::shared_ptr<shm_segment>& segment) {
  const auto reading = begin(segment);
  while (!reading->done() && help())
    ;
  lock held(mutex_);
  over_.wait(held, [&] { return reading->done(); });
  held.unlock();
  (void)reading->result();
}

void segment_crew::leave_all() {
  const lock held(mutex_);
  readings_.clear();
  unread_ = 0;
}

void segment_crew::clear_away(std::function<void()> work) {
  lock held(mutex_);
  try {
    to_clear_.push_back(std::move(work)); // which is as it was if this throws
  } catch (const std::bad_alloc&) {
    held.unlock();
    return work();
  }
  if (to_clear_.size() + clearing_ > most_to_clear)
    return clear_one(held);
  held.unlock();
  wanted_.notify_one();
}

void segment_crew::clear_all() {
  lock held(mutex_);
  while (!to_clear_.empty())
    clear_one(held);
  over_.wait(held, [&] { return clearing_ == 0; });
}

/// Reads a piece of the segment that was begun first; false if there is none.
bool segment_crew::read_one(lock& held) {
  if (readings_.empty())
    return false;
  const auto reading = readings_.front();
  const auto piece = reading->next_++;
  if (reading->next_ == reading->segment_->pieces())
    readings_.pop_front();
  --unread_;
  held.unlock();
  const auto guarded = [&](auto what) {
    try {
      what();
    } catch (...) {
      if (!reading->failed_.exchange(true))
        reading->failure_ = std::current_exception();
    }
  };
  if (!reading->failed_)
    guarded([&] { reading->segment_->read_piece(piece); });
  const bool last = reading->left_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  if (last && !reading->failed_)
    guarded([&] { reading->segment_->finish(); });
  held.lock();
  if (!last)
    return true;
  reading->done_.store(true, std::memory_order_release);
  over_.notify_all();
  held.unlock();
  on_read_();
  held.lock();
  return true;
}

void segment_crew::clear_one(lock& held) {
  auto work = std::move(to_clear_.front());
  to_clear_.pop_front();
  ++clearing_;
  held.unlock();
  work();
  work = nullptr; // what it holds goes here, too
  held.lock();
  --clearing_;
  if (clearing_ == 0)
    over_.notify_all();
}

void segment_crew::work(const std::stop_token& stop) {
  name_thread("segments");
  lock held(mutex_);
  const auto can_read = [&] { return reads_ && !readings_.empty(); };
  while (wanted_.wait(held, stop, [&] { return can_read() || !to_clear_.empty(); })) {
    // A segment more is wanted sooner than one less, unless those become many.
    if (can_read() && to_clear_.size() < most_to_clear / 2)
      read_one(held);
    else
      clear_one(held);
  }
}

} // namespace tessera
