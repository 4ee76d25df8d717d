#pragma once
// Asking actors from connections, without a thread that waits.

#include "messages/error.hpp"
#include "net/server/asio_types.hpp"

#include <caf/all.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace tessera {

/// Where an answer from another thread goes. Keeps the context running, and alive, until the last copy is
/// gone.
template <class Executor>
class return_address {
public:
  return_address(std::shared_ptr<asio::io_context> context, const Executor& executor)
    : kept_{std::make_shared<kept>(std::move(context), executor)} {}

  template <class F>
  void post(F&& f) const {
    asio::post(kept_->executor, std::forward<F>(f));
  }

private:
  struct kept {
    kept(std::shared_ptr<asio::io_context> c, const Executor& e)
      : context{std::move(c)}, executor{e}, work{asio::make_work_guard(e)} {}
    std::shared_ptr<asio::io_context> context; // first in, last out
    Executor executor;
    asio::executor_work_guard<Executor> work;
  };
  std::shared_ptr<kept> kept_;
};

/// Sends one request and lives until it is answered. A class, because CAF 0.17 dereferences a null pointer
/// where it starts a function without arguments.
class asking_actor final : public caf::event_based_actor {
public:
  asking_actor(caf::actor_config& cfg, std::function<void(caf::event_based_actor*)> send)
    : caf::event_based_actor{cfg}, send_{std::move(send)} {}
  caf::behavior make_behavior() override {
    send_(this);
    return {};
  }
  void on_exit() override { send_ = nullptr; }

private:
  std::function<void(caf::event_based_actor*)> send_;
};

/// Sends a request to an actor; `then` gets the answer, or why there is none, as (std::optional<Answer>,
/// std::string why) on the executor of `to`.
template <class Answer, class Executor, class Handle, class Then, class... Ts>
void ask(caf::actor_system& system, return_address<Executor> to, std::chrono::milliseconds timeout, const Handle& whom, Then then,
         Ts... message) {
  if (!whom) {
    to.post([then = std::move(then)]() mutable { then(std::optional<Answer>{}, "it has not been started"); });
    return;
  }
  system.spawn<asking_actor>([=, then = std::move(then)](caf::event_based_actor* self) {
    self->request(whom, timeout, message...)
      .then(
        [to, then](Answer& answer) {
          to.post(
            [then, answer = std::move(answer)]() mutable { then(std::optional<Answer>{std::move(answer)}, std::string{}); });
        },
        [to, then](caf::error& why) {
          to.post([then, text = describe(why)]() mutable { then(std::optional<Answer>{}, std::move(text)); });
        });
  });
}

} // namespace tessera
