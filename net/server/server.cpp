#include "net/server/server.hpp"

#include "messages/thread_name.hpp"
#include "net/server/listener.hpp"
#include "net/server/process_numbers.hpp"

#include <thread>

namespace tessera {

namespace {

/// Runs handlers until there is nothing left to do. One that throws (out of memory, most likely) costs its connection; the others
/// go on, and the ports stay open.
void serve(asio::io_context& io, std::initializer_list<listener*> ports, const log_function& log) {
  constexpr std::chrono::milliseconds pause{50};
  for (;;)
    try {
      for (auto* port : ports)
        port->keep_accepting();
      io.run();
      return;
    } catch (const std::exception& e) {
      try {
        if (log)
          log(severity::error, std::string("a connection failed: ") + e.what());
      } catch (const std::bad_alloc&) { // nor is there memory to say so
      }
      std::this_thread::sleep_for(pause);
    }
}

} // namespace

struct server::parts {
  std::shared_ptr<server_core> core;
  std::shared_ptr<listener> main, metrics;
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> work;
  std::vector<std::thread> threads;
  uint16_t port = 0, metrics_port = 0;
};

server::server(caf::actor_system& system, const service& running, keyframe_sink& sink, server_config config)
  : parts_{std::make_unique<parts>()} {
  check_exposure({config.token, config.insecure}, config.bind);
  config.threads = std::max(1u, config.threads);
  raise_file_limit();
  auto core = std::make_shared<server_core>(system, running, sink, std::move(config));
  core->map_known = !core->config.map_comes_later;
  parts_->main = std::make_shared<listener>(core, entrance::main, core->config.bind, core->config.port, "port");
  parts_->metrics
    = std::make_shared<listener>(core, entrance::metrics, core->config.bind, core->config.metrics_port, "metrics-port");
  parts_->port = parts_->main->port();
  parts_->metrics_port = parts_->metrics->port();
  parts_->work.emplace(asio::make_work_guard(*core->io));
  parts_->core = core;
  try {
    parts_->threads.reserve(core->config.threads);
    for (uint32_t i = 0; i < core->config.threads; ++i)
      parts_->threads.emplace_back([io = core->io, log = running.context.log, main = parts_->main, metrics = parts_->metrics] {
        name_thread("http");
        serve(*io, {main.get(), metrics.get()}, log);
      });
  } catch (...) {
    stop(); // the threads that there are
    throw;
  }
}

server::~server() {
  stop();
}

void server::open(const map_settings& map, const session_config& session) {
  auto& core = *parts_->core;
  core.config.map = map;
  core.running.session = session;
  core.map_known = true;
}

void server::stop() {
  auto& p = *parts_;
  if (!p.core || p.core->stopping.exchange(true))
    return;
  auto& core = *p.core;
  p.main->stop();
  p.metrics->stop();
  for (const auto& one : core.connections.all())
    one->leave();
  auto wait = [&](std::chrono::milliseconds limit) {
    auto until = std::chrono::steady_clock::now() + limit;
    while (core.connections.size() > 0 && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds{2});
  };
  wait(core.config.timeouts.stop);
  for (const auto& one : core.connections.all())
    one->abort();
  core.offers.join();
  core.files.join();
  core.talks.join();
  // What still waits for an actor has its time limit; nothing new begins.
  wait(core.config.timeouts.stop);
  p.work.reset();
  core.io->stop();
  for (auto& thread : p.threads)
    thread.join();
  p.threads.clear();
  // Lets what is still queued let go of its connections, each of which holds the core that holds the queue.
  core.io->restart();
  core.io->poll();
  p.main.reset();
  p.metrics.reset();
  // Handlers that were cancelled when nobody ran them any more hold the core, and it holds the context that
  // holds them: let them go. A handle of an actor left in there would keep the actor system from ending.
  core.io->restart();
  core.io->poll();
  core.running = {};
}

uint16_t server::port() const {
  return parts_->port;
}

uint16_t server::metrics_port() const {
  return parts_->metrics_port;
}

} // namespace tessera
