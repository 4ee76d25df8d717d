#include "actors/regions/encoder_pool.hpp"

#include "actors/base/cycle_clock.hpp"
#include "actors/base/thread_rank.hpp"
#include "messages/roles.hpp"
#include "messages/thread_name.hpp"

#include <algorithm>

namespace tessera {

encoder_pool::encoder_pool(encoder_function encode, uint32_t threads, const actor_context& context, uint64_t id,
                           cells_function cells)
  : encode_{std::move(encode)}, cells_{std::move(cells)}, numbers_{context.numbers}, record_{context.registry->enlist(
                                                                                       role::encoder_pool)} {
  record_->set_id(id);
  record_->set_detail(std::to_string(threads) + " threads");
  record_->add(0, "encode");
  try {
    threads_.reserve(threads);
    for (uint32_t i = 0; i < threads; ++i)
      threads_.emplace_back([this] {
        name_thread("encoder");
        set_thread_rank(thread_rank::patches);
        run();
      });
  } catch (...) {
    stop(); // those that were started
    throw;
  }
}

encoder_pool::~encoder_pool() {
  stop();
}

void encoder_pool::encode(order what, done answer) {
  {
    const std::lock_guard lock{mutex_};
    if (stopped_)
      return;
    waiting_.push_back({std::move(what), std::move(answer), cycle_clock::ticks()});
    record_->enqueued();
    tell();
  }
  changed_.notify_one();
}

bool encoder_pool::work() {
  std::unique_lock lock{mutex_};
  if (waiting_.empty())
    return false;
  auto next = take();
  lock.unlock();
  perform(std::move(next));
  return true;
}

void encoder_pool::stop() {
  std::vector<std::jthread> ended;
  std::deque<task> forgotten; // what they hold is released without the lock
  {
    const std::lock_guard lock{mutex_};
    stopped_ = true;
    ended.swap(threads_);
    forgotten.swap(waiting_);
    for (size_t i = 0; i < forgotten.size(); ++i)
      record_->dequeued();
    record_->set_down();
    tell();
  }
  changed_.notify_all();
}

void encoder_pool::run() {
  for (std::unique_lock lock{mutex_};;) {
    changed_.wait(lock, [this] { return stopped_ || !waiting_.empty(); });
    if (stopped_)
      return;
    auto next = take();
    lock.unlock();
    perform(std::move(next));
    lock.lock();
  }
}

/// Under the lock.
encoder_pool::task encoder_pool::take() {
  auto next = std::move(waiting_.front());
  waiting_.pop_front();
  ++under_way_;
  record_->dequeued();
  tell();
  return next;
}

void encoder_pool::perform(task next) {
  const auto begin = cycle_clock::ticks();
  numbers_->encode_wait_time.record(cycle_clock::to_ns(begin - next.since));
  patch result;
  std::exception_ptr failure;
  try {
    result = encoded(next.what);
  } catch (...) {
    failure = std::current_exception();
  }
  const auto took_ns = cycle_clock::to_ns(cycle_clock::ticks() - begin);
  if (!failure)
    numbers_->encode_time.record(took_ns);
  next.answer(std::move(result), std::move(failure));
  const std::lock_guard lock{mutex_}; // after the answer: whoever sees that nothing is under way finds it in a mailbox
  --under_way_;
  record_->find(0)->times.record_alone(took_ns);
  tell();
}

patch encoder_pool::encoded(const order& what) const {
  bool draco = false;
  std::vector<uint64_t> bases;
  for (const auto& form : what.forms)
    if (form.cells)
      bases.push_back(form.base);
    else
      draco = true;
  patch out;
  out.keyframe_ns = what.keyframe_ns;
  out.received_ns = what.received_ns;
  std::optional<std::vector<cells_frame>> cells;
  if (!bases.empty() && cells_)
    cells = cells_(what.surface, out, bases, *what.changes);
  if (draco || (!bases.empty() && !cells))
    out = encode_(what.surface, what.keyframe_ns, what.received_ns);
  out.no_cells = !bases.empty() && !cells;
  if (cells)
    out.cells = std::move(*cells);
  return out;
}

/// Under the lock.
void encoder_pool::tell() {
  numbers_->encodes_waiting.store(static_cast<int64_t>(waiting_.size()), std::memory_order_relaxed);
  numbers_->encodes_under_way.store(under_way_, std::memory_order_relaxed);
  record_->set_busy(under_way_ > 0);
}

} // namespace tessera
