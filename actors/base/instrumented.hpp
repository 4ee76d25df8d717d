#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/base/cycle_clock.hpp"
#include "actors/base/thrown_text.hpp"
#include "messages/error.hpp"
#include "messages/roles.hpp"

#include <caf/all.hpp>

#include <chrono>
#include <exception>
#include <new>
#include <optional>
#include <thread>
#include <vector>

namespace tessera {

/// What an actor does when one of its handlers throws.
enum class on_throw {
  go_on, ///< answer the message with an error and take the next one: for actors whose state is whole between any two steps
  die    ///< end; the supervisor starts another
};

/// How an actor is listed.
struct actor_place {
  const char* role = "actor";
  std::optional<region_key> region{};
  std::optional<device_id> device{};
  on_throw policy = on_throw::go_on;
};

/// Base of every actor: counts and times whatever passes through the mailbox, by type of message, and catches what handlers
/// throw. A deriving class writes make_behavior() and its handlers as if nothing were measured. See
/// tests/bench/actor_overhead.cpp for the cost.
template <class Handle>
class instrumented : public Handle::base {
public:
  using super = typename Handle::base;
  using handle_type = Handle;
  /// How many timeouts of answered requests may be left in the clock, to be cancelled together.
  static constexpr size_t cancelled_at_once = 16;

  instrumented(caf::actor_config& cfg, actor_context context, actor_place place)
    : super(cfg), shared_{std::move(context)}, place_{place}, record_{shared_.registry->enlist(place.role, place.region,
                                                                                               place.device)} {
    record_->set_id(this->id());
    answered_.reserve(cancelled_at_once);
    this->set_exception_handler([](caf::scheduled_actor*, std::exception_ptr& thrown) -> caf::error {
      return caf::make_error(is_want_of_memory(thrown) ? ec::no_memory : ec::internal, thrown_text(thrown));
    });
  }

  const char* name() const override { return place_.role; }

  using super::enqueue;
  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit* host) override {
    record_->enqueued();
    try {
      super::enqueue(std::move(what), host);
    } catch (const std::bad_alloc&) {
      if (this->mailbox().closed())
        throw; // it has ended: what failed was to say so
      // The message is in the mailbox, and this actor is not in the scheduler's queue, into which nobody else would put it.
      schedule_at_last();
    }
  }

  using super::consume;
  /// Handles one message; CAF calls this for requests, responses and system messages alike.
  caf::invoke_message_result consume(caf::mailbox_element& what) override {
    const auto key = key_of(what);
    if (what.mid.is_response())
      forget_timeout(what.mid);
    record_->dequeued();
    auto* const handler = record_->find(key);
    record_->begin(handler);
    const auto begin = cycle_clock::ticks();
    caf::invoke_message_result result;
    try {
      result = super::consume(what);
    } catch (...) {
      measured(what, key, handler, begin);
      caught(std::current_exception());
      if (place_.policy == on_throw::die)
        throw;
      return caf::invoke_message_result::consumed;
    }
    if (result == caf::invoke_message_result::skipped) {
      record_->enqueued(); // it stays in the mailbox
      record_->set_busy(false);
    } else {
      measured(what, key, handler, begin);
    }
    return result;
  }

  bool cleanup(caf::error&& reason, caf::execution_unit* host) override {
    if (reason && reason != caf::exit_reason::user_shutdown && reason != caf::exit_reason::normal)
      record_->set_error(describe(reason));
    record_->set_down();
    return super::cleanup(std::move(reason), host);
  }

protected:
  [[nodiscard]] const actor_context& shared() const noexcept { return shared_; }
  [[nodiscard]] telemetry& numbers() const noexcept { return *shared_.numbers; }
  [[nodiscard]] actor_record& record() noexcept { return *record_; }

  /// Now, by the clock that delayed messages follow; a test scheduler's in tests.
  [[nodiscard]] caf::actor_clock::time_point now() { return this->system().clock().now(); }

  /// Counts and logs what was thrown, and returns it in words, after those of `what_failed`.
  std::string note(const std::exception_ptr& thrown, const std::string& what_failed = {}) {
    auto text = what_failed + thrown_text(thrown);
    record_->set_error(text);
    numbers().handler_errors.fetch_add(1, std::memory_order_relaxed);
    shared_.write(severity::error, std::string{place_.role} + ": " + text);
    return text;
  }

private:
  void schedule_at_last() {
    for (;;) {
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
      try {
        return this->home_system().scheduler().enqueue(this);
      } catch (const std::bad_alloc&) { // still none
      }
    }
  }

  static uint64_t key_of(const caf::mailbox_element& what) {
    if (what.mid.is_response())
      return 1;
    const auto& content = what.content();
    if (content.size() == 0)
      return 2;
    const auto type = content.type(0);
    if (type.first == caf::type_nr<caf::atom_value>::value)
      return static_cast<uint64_t>(content.get_as<caf::atom_value>(0));
    return type.second ? reinterpret_cast<uintptr_t>(type.second) : uint64_t{type.first};
  }

  std::string name_of(const caf::mailbox_element& what) {
    if (what.mid.is_response())
      return "response";
    const auto& content = what.content();
    if (content.size() == 0)
      return "empty";
    const auto type = content.type(0);
    if (type.first == caf::type_nr<caf::atom_value>::value)
      return to_string(content.get_as<caf::atom_value>(0));
    if (!type.second)
      return caf::numbered_type_names[type.first];
    const auto& names = this->system().config().type_names_by_rtti;
    auto i = names.find(std::type_index{*type.second});
    return i != names.end() ? i->second : type.second->name();
  }

  /// A request was answered: CAF's clock would keep its timeout, and the actor with it, until it would have been due. Several are
  /// cancelled at a time, since each cancellation alone would wake the clock's thread.
  void forget_timeout(caf::message_id answered) {
    answered_.push_back(answered);
    if (answered_.size() < cancelled_at_once)
      return;
    for (const auto& id : answered_)
      this->home_system().clock().cancel_request_timeout(this, id);
    answered_.clear();
  }

  void measured(const caf::mailbox_element& what, uint64_t key, actor_record::handler* handler, uint64_t begin) {
    auto ns = cycle_clock::to_ns(cycle_clock::ticks() - begin);
    try {
      if (!handler)
        handler = &record_->add(key, name_of(what));
      handler->times.record_alone(ns);
    } catch (const std::bad_alloc&) { // then it is listed from the next one on
    }
    record_->set_busy(false);
  }

  void caught(const std::exception_ptr& thrown) {
    const auto text = note(thrown);
    if (place_.policy == on_throw::go_on)
      this->template make_response_promise<caf::response_promise>().deliver(caf::make_error(ec::internal, text));
  }

  actor_context shared_;
  actor_place place_;
  std::shared_ptr<actor_record> record_;
  std::vector<caf::message_id> answered_; ///< their timeouts are not cancelled yet
};

} // namespace tessera
