#include "net/commands/serve_command.hpp"

#include "actors/supervisor.hpp"
#include "messages/types.hpp"
#include "net/commands/drill.hpp"
#include "net/commands/input_sinks.hpp"
#include "net/commands/offline.hpp"
#include "net/commands/rehearsal.hpp"
#include "net/commands/source_threads.hpp"
#include "net/commands/stop_signal.hpp"
#include "net/sinks/access.hpp"
#include "net/sinks/patch_codec.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <spdlog/spdlog.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <iostream>
#include <stdexcept>
#include <system_error>

namespace tessera {

namespace {

static_assert(max_keyframe_points == keyframe_limits{}.max_points, "what sources read is what the map takes");

/// An endless scan of a scene keeps so many keyframes, two rounds of the room: the rest is retracted, so that nothing grows.
constexpr size_t endless_keeps = 400;

/// A source to serve, and what is special about it.
struct input {
  std::unique_ptr<source> from;
  bool endless = false;
};

bool is_synthetic(const std::string& uri) {
  return uri.starts_with("synthetic:");
}

/// Tells whether a watch sees segments that a broker's notifications tell of, too.
bool takes_segments_of_a_broker(const std::string& uri, const std::vector<std::string>& all, const std::string& shm_prefix) {
  if (!uri.starts_with("shm:"))
    return false;
  const auto with_slash = [](std::string name) { return name.starts_with('/') ? name : '/' + name; };
  const auto watched = with_slash(uri.substr(4)), told = with_slash(shm_prefix);
  return (watched.starts_with(told) || told.starts_with(watched))
         && std::any_of(all.begin(), all.end(), [](const auto& one) { return is_amqp_url(one); });
}

std::vector<input> make_inputs(const serve_setup& setup) {
  auto wanted = setup.sources;
  if (wanted.empty() && !setup.amqp_url.empty())
    wanted.push_back(setup.amqp_url); // its notifications tell of the segments, and know more than their headers
  std::vector<input> inputs;
  for (const auto& uri : wanted) {
    auto options = setup.input;
    if (takes_segments_of_a_broker(uri, wanted, options.shm_prefix))
      options.unlink = false; // the notification unlinks
    const auto endless = is_synthetic(uri) && options.limit == 0 && options.every == 1 && !options.shuffle;
    if (endless)
      options.synthetic.loops = 0;
    inputs.push_back({make_source(uri, options), endless});
  }
  return inputs;
}

/// A folder that cannot be written is told by its setting's name before anything is started.
void check_store_folder(const std::string& folder) {
  if (folder.empty())
    return;
  struct stat what {};
  auto code = ::stat(folder.c_str(), &what) != 0 ? errno : !S_ISDIR(what.st_mode) ? ENOTDIR : 0;
  if (code == 0 && ::access(folder.c_str(), W_OK | X_OK) != 0)
    code = errno;
  if (code != 0)
    throw std::invalid_argument("store-dir is " + folder + ": " + std::generic_category().message(code));
}

void write_log(severity level, const std::string& text) {
  static constexpr spdlog::level::level_enum levels[]
    = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};
  spdlog::log(levels[static_cast<size_t>(level)], "{}", text);
}

std::string address(const std::string& bind, uint16_t port) {
  const auto host = bind.find(':') == std::string::npos ? bind : '[' + bind + ']';
  return "http://" + host + ':' + std::to_string(port);
}

/// Waits until a stop is asked for; meanwhile breaks what the drill says, when it is due.
void drill_until_stopped(const service& running, drill planned, gpu_breaker gpus, const stop_signal& stop) {
  const auto& n = *running.context.numbers;
  while (!planned.over() && !stop.wait_for(std::chrono::milliseconds{5})) {
    for (const auto& role : planned.due(n.accepted.load(std::memory_order_relaxed))) {
      if (role == drill::gpu_role) {
        gpus.break_next();
        continue;
      }
      spdlog::warn("drill: killing the {}", role);
      caf::anon_send(caf::actor_cast<supervisor_setup>(running.supervisor.get()), kill_atom::value, role);
    }
  }
  stop.wait();
}

} // namespace

int serve_command(serve_setup setup, stop_signal& stop) {
  check_exposure({setup.server.token, setup.server.insecure}, setup.server.bind); // before anything waits for anything
  drill planned(setup.drill);
  check_store_folder(setup.service.store_folder);
  auto inputs = make_inputs(setup);
  std::atomic<bool> failed = false;
  gate_sink gate(stop.token());
  std::vector<std::unique_ptr<newest_sink>> trimmed;
  source_threads sources; // after what its threads use
  struct at_the_end {
    stop_signal& stop;
    ~at_the_end() { stop.request_stop(); }
  };
  const at_the_end let_go{stop}; // sources that wait at the gate, whatever throws: their threads are joined next
  const auto start_sources = [&] {
    for (auto& one : inputs) {
      keyframe_sink* sink = &gate;
      if (one.endless)
        sink = trimmed.emplace_back(std::make_unique<newest_sink>(gate, endless_keeps)).get();
      sources.start(std::move(one.from), *sink, [&] {
        failed = true;
        stop.request_stop();
      });
    }
  };

  if (setup.auto_voxel) {
    spdlog::info("waiting for the first keyframe, to derive the voxel size from it");
    start_sources();
    const auto first = gate.first();
    if (!first)
      return failed ? 1 : 0;
    setup.service.map = mapping_from(*first, setup.service.map);
    spdlog::info("voxel-size {} m, truncation {} m, ranges {} to {} m, from keyframe {}", setup.service.map.voxel_m,
                 setup.service.map.truncation_m, setup.service.map.min_range_m, setup.service.map.max_range_m, first->id.value);
  }

  caf::actor_system_config actor_config;
  register_messages(actor_config);
  actor_config.set("scheduler.max-threads", static_cast<size_t>(setup.threads));
  // One queue for all threads. By default each has its own, and one that is asleep looks into the others' every 10 ms: so long
  // may wait what a busy one has queued; and those that are awake keep looking, which was a third of all processor time at 20
  // keyframes/s on two cores.
  actor_config.set("scheduler.policy", caf::atom("sharing"));
  caf::actor_system system(actor_config);

  const auto& map = setup.service.map;
  setup.service.encode
    = [quantum = patch_quantum_m(map.voxel_m)](const region_mesh& mesh, uint64_t keyframe_ns, uint64_t received_ns) {
        return encode_patch(mesh, quantum, keyframe_ns, received_ns);
      };
  setup.service.log = write_log;
  // After the actors' system, and so closed before it goes: their threads send messages.
  const auto gpus = open_gpus(setup.backend, map);
  planned.check_gpus(gpus.size());
  setup.service.gpus = {gpus.begin(), gpus.end()};
  setup.service.on_lost = [&](const std::string&) { // the log has the reason
    spdlog::error("the service ends, so that whoever runs it can start it again");
    failed = true;
    stop.request_stop();
  };
  service running;
  try {
    running = start_service(system, setup.service);
  } catch (const std::invalid_argument&) {
    throw; // before there are actors
  } catch (const std::exception& e) {
    give_up(e); // some actors may be there, and the system would wait for them
  }
  setup.service.gpus.clear();
  // Under the policy `newest` sources must be able to offer more than is taken, or there would never be an older one to drop.
  const uint32_t offered = setup.service.policy == input_policy::newest ? 2 * setup.service.credit : setup.service.credit;
  const auto sink = make_ingest_sink(system, running, offered);

  setup.server.map = map;
  setup.server.trouble = [&sources] { return sources.trouble(); };
  setup.server.parse_keyframe
    = [layout = setup.input.layout](std::string id, uint64_t timestamp_ns, std::vector<std::byte> body) {
        auto frame = keyframe_of_message(std::move(body), keyframe_id{std::move(id)}, layout);
        if (timestamp_ns != 0)
          frame.timestamp_ns = timestamp_ns;
        return frame;
      };
  const auto bind = setup.server.bind;
  try {
    server web(system, running, *sink, std::move(setup.server));
    std::cout << "listening on " << address(bind, web.port()) << "/\n"
              << "metrics on " << address(bind, web.metrics_port()) << "/metrics" << std::endl;
    if (inputs.empty())
      spdlog::info("no source is named: keyframes are taken over HTTP, by POST {}/v1/keyframes; `tessera serve synthetic:room` "
                   "shows a room that is being scanned",
                   address(bind, web.port()));
    gate.open(*sink);
    if (!setup.auto_voxel)
      start_sources();
    drill_until_stopped(running, std::move(planned), gpu_breaker{{gpus.begin(), gpus.end()}}, stop);

    spdlog::info("ending");
    // Sources first, so that what they cannot hand over any more stays with its producer; then what they wait for.
    sources.request_stop();
    sink->close();
    sources.join();
    if (!sink->drain(std::chrono::seconds{5}))
      spdlog::warn("some keyframes were still under way after 5 s");
    web.stop();
  } catch (...) {
    stop.request_stop(); // sources that wait at the gate
    sources.request_stop();
    sink->close();
    sources.join();
    stop_service(system, running);
    throw;
  }
  if (!stop_service(system, running))
    spdlog::warn("some actors were still busy after 10 s");
  return failed ? 1 : 0;
}

} // namespace tessera
