#include "net/commands/serve_command.hpp"

#include "actors/supervision/supervisor.hpp"
#include "messages/thread_name.hpp"
#include "messages/types.hpp"
#include "net/commands/drill.hpp"
#include "net/commands/input_sinks.hpp"
#include "net/commands/offline.hpp"
#include "net/commands/patient_source.hpp"
#include "net/commands/rehearsal.hpp"
#include "net/commands/source_threads.hpp"
#include "net/commands/stop_signal.hpp"
#include "net/formats/cells_encoder.hpp"
#include "net/formats/patch_codec.hpp"
#include "net/server/access.hpp"
#include "net/server/server_certificate.hpp"
#include "net/sources/shm/segment_file.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/thread_hook.hpp>
#include <spdlog/spdlog.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>
#include <iostream>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace tessera {

namespace {

static_assert(max_keyframe_points == keyframe_limits{}.max_points, "what sources read is what the map takes");

/// An endless scan of a scene keeps so many keyframes, two rounds of the room: the rest is retracted, so that nothing grows.
constexpr size_t endless_keeps = 400;

/// The process is gone so long after it was told to end: Docker waits for ten seconds, and a developer for two. What has no
/// verdict by then stays with its sender, and the map goes with the process anyway.
constexpr std::chrono::milliseconds ending_limit{2500};
/// How much of it is for keyframes that are under way, so that who sent them over HTTP hears of them.
constexpr std::chrono::milliseconds drain_limit{1000};

constexpr uint32_t most_actor_threads = 4;

/// A source to serve, and what is special about it.
struct input {
  std::unique_ptr<source> from;
  bool endless = false;
};

/// Tells whether a watch sees segments that a broker's notifications tell of, too.
bool takes_segments_of_a_broker(const std::string& uri, const std::vector<std::string>& all, const std::string& shm_prefix) {
  if (!uri.starts_with("shm:"))
    return false;
  const auto with_slash = [](std::string name) { return name.starts_with('/') ? name : '/' + name; };
  const auto watched = with_slash(uri.substr(4)), told = with_slash(shm_prefix);
  return (watched.starts_with(told) || told.starts_with(watched))
         && std::any_of(all.begin(), all.end(), [](const auto& one) { return is_amqp_url(one); });
}

/// How segments are read: GPUs, which lock pages of memory, are given copies that they read by themselves, made by several
/// threads, since one is slower than they are; the CPU reads the segments themselves.
void suit_segments(segment_options& options, const std::shared_ptr<page_locks>& locks) {
  if (!locks)
    return;
  options.memory = std::make_shared<host_memory>(locks);
  options.readers = std::clamp(std::thread::hardware_concurrency() / 2, 1u, 8u);
}

/// `locks`: of the GPUs that do the work; null if the CPU does.
std::vector<input> make_inputs(const serve_setup& setup, const shortage_listener& on_shortage,
                               const std::shared_ptr<page_locks>& locks) {
  auto wanted = setup.sources;
  if (wanted.empty() && !setup.amqp_url.empty())
    wanted.push_back(setup.amqp_url); // its notifications tell of the segments, and know more than their headers
  std::vector<input> inputs;
  auto common = setup.input;
  common.on_shortage = on_shortage;
  suit_segments(common.segments, locks);
  if (common.sequence.is_all())
    common.synthetic.loops = 0; // a room to look at does not end
  const auto by_shared_memory = [](const auto& uri) { return uri.starts_with("shm:") || is_amqp_url(uri); };
  if (std::any_of(wanted.begin(), wanted.end(), by_shared_memory))
    if (const auto why = too_small_for_segments(size_of_file_system(shm_folder)); !why.empty())
      spdlog::warn("{}", why);
  const auto sessions = sessions_of(wanted);
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto& uri = wanted[i];
    auto options = common;
    options.rgbd.session = sessions[i];
    if (takes_segments_of_a_broker(uri, wanted, options.amqp.shm_prefix))
      options.shm.unlink = false; // the notification unlinks
    auto from = make_source(uri, options);
    const bool patient = is_sequence(uri), endless = patient && !from->total();
    if (patient)
      from = make_patient(std::move(from));
    inputs.push_back({std::move(from), endless});
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

std::string address(const char* scheme, const std::string& bind, uint16_t port) {
  const auto host = bind.find(':') == std::string::npos ? bind : '[' + bind + ']';
  return scheme + ("://" + host) + ':' + std::to_string(port);
}

/// Waits until a stop is asked for; meanwhile breaks what the drill says, when it is due.
void drill_until_stopped(const service& running, drill planned, gpu_breaker gpus, const stop_signal& stop) {
  const auto& n = *running.context.numbers;
  while (!planned.over() && !stop.wait_for(std::chrono::milliseconds{5})) {
    for (const auto& role : planned.due(n.accepted.load(std::memory_order_relaxed))) {
      if (const auto how = drill::breakage_of(role)) {
        gpus.break_next(*how);
        continue;
      }
      spdlog::warn("drill: killing the {}", role);
      caf::anon_send(caf::actor_cast<supervisor_setup>(running.supervisor.get()), kill_atom::value, role);
    }
  }
  stop.wait();
}

/// Names the threads that actors run in, those that an actor has to itself included.
class actor_thread_namer final : public caf::thread_hook {
public:
  void init(caf::actor_system&) override {}
  void thread_started() override { name_thread("actors"); }
  void thread_terminates() override {}
};

/// Rays that GPUs made for each other lie in their memory.
struct closing_together {
  std::vector<std::shared_ptr<async_fields>>& gpus;
  ~closing_together() { close_together(gpus); }
};

/// Ends the wait of whoever offers a keyframe, at the gate or for credit.
struct let_offers_go {
  stop_signal& stop;
  std::unique_ptr<ingest_sink>& sink;
  ~let_offers_go() {
    stop.request_stop();
    if (sink)
      sink->close();
  }
};

/// What becomes of a keyframe as long as no voxel size is chosen: none if it chooses one. The others are counted and listed as
/// ingest would. The journal, if there is one, keeps what was chosen.
std::optional<verdict> choose_or_refuse(const keyframe& frame, const serve_setup& setup, telemetry& numbers, journal* kept,
                                        std::optional<map_settings>& chosen) {
  voxel_choice choice;
  try {
    choice = choose_voxel(frame, setup.service.map, *setup.voxel);
  } catch (const std::bad_alloc&) {
    return numbers.count_not_now(hindered_by(std::current_exception()));
  }
  if (choice.fault) {
    numbers.count_refused(choice.fault->why);
    numbers.set_aside.add("ingest", shown(frame.id), choice.fault->text);
    return verdict{outcome::refused, std::move(choice.fault->text)};
  }
  if (!choice.torn.empty())
    return numbers.count_not_now({hindrance::torn, "the points changed while they were read: " + choice.torn});
  try {
    if (kept)
      kept->set_map(*choice.map);
  } catch (const std::bad_alloc&) {
    return numbers.count_not_now(hindered_by(std::current_exception()));
  } catch (const std::exception& e) { // no room on its disk, say
    return numbers.count_not_now({hindrance::store, e.what()});
  }
  chosen = choice.map;
  spdlog::info("{}, from keyframe {}", describe(*chosen), shown(frame.id));
  return std::nullopt;
}

void tell_certificate(const char* what, const server_certificate& its) {
  spdlog::info("{} {}", what, its.describe());
  if (const auto why = its.why_not_valid())
    spdlog::warn("the certificate {}", *why);
}

} // namespace

int serve_command(serve_setup setup, stop_signal& stop) {
  stop.end_within(ending_limit);
  check_exposure({setup.server.token, setup.server.insecure}, setup.server.bind); // before anything waits for anything
  drill planned(setup.drill);
  check_store_folder(setup.service.store_folder);
  std::shared_ptr<telemetry> numbers; // before sources are run
  const shortage_listener on_shortage = [&numbers](const std::string& what) {
    (void)numbers->count_not_now({hindrance::input, what});
  };
  const auto found = find_gpus();
  const auto chosen_gpus = choose_gpus(setup.backend, found);
  auto inputs = make_inputs(setup, on_shortage, chosen_gpus.empty() ? nullptr : found.locks);
  planned.check_gpus(chosen_gpus.size());

  const auto kept = open_journal(setup.journal, setup.service.map, setup.voxel, write_log);
  // Now, since what is retracted before there is a map is remembered, too.
  const auto store = kept.store ? kept.store : make_keyframe_store(setup.service);
  setup.service.make_store = [store] { return store; };
  setup.service.snapshots = kept.snapshots;
  setup.service.told = kept.told;

  caf::actor_system_config actor_config;
  register_messages(actor_config);
  // Actors only pass things on: fields and encoders have threads of their own, and each worker that is woken for a moment costs
  // (with 16 and 4: 0.16 and 0.10 of a core at 100 keyframes/s).
  actor_config.set("scheduler.max-threads", static_cast<size_t>(std::min(setup.threads, most_actor_threads)));
  // One queue for all threads. By default each has its own, and one that is asleep looks into the others' every 10 ms: so long
  // a message may wait that a busy one has queued; and those that are awake keep looking, which was a third of all processor time
  // at 20 keyframes/s on two cores.
  actor_config.set("scheduler.policy", caf::atom("sharing"));
  actor_config.add_thread_hook<actor_thread_namer>();
  caf::actor_system system(actor_config);

  setup.service.log = write_log;
  setup.service.on_lost = [&](const std::string&) { // the log has the reason
    spdlog::error("the service ends, so that whoever runs it can start it again");
    stop.request_stop(1);
  };
  // After the actors' system, and so closed before it goes: their threads send messages.
  std::vector<std::shared_ptr<async_fields>> gpus;
  const closing_together after_the_actors{gpus};
  auto running = announce_service(setup.service);
  numbers = running.context.numbers;
  std::unique_ptr<ingest_sink> sink;
  std::optional<map_settings> chosen;
  gate_sink gate(stop.token(), numbers, store,
                 [&](const keyframe& frame) { return choose_or_refuse(frame, setup, *numbers, kept.file.get(), chosen); });
  std::vector<std::unique_ptr<newest_sink>> trimmed;
  source_threads sources(on_shortage, stop.token());  // after what its threads use
  const let_offers_go before_the_sources{stop, sink}; // whose threads are joined next, whatever throws
  const auto start_sources = [&] {
    for (auto& one : inputs) {
      keyframe_sink* to = &gate;
      if (one.endless)
        to = trimmed.emplace_back(std::make_unique<newest_sink>(gate, endless_keeps)).get();
      sources.start(std::move(one.from), *to, [&] { stop.request_stop(1); });
    }
  };
  const auto start_map = [&](const map_settings& map) {
    setup.service.map = map;
    if (kept.file && !chosen) // else it has it
      kept.file->set_map(map);
    setup.service.encode
      = [quantum = patch_quantum_m(map.voxel_m)](const region_mesh& mesh, uint64_t keyframe_ns, uint64_t received_ns) {
          return encode_patch(mesh, quantum, keyframe_ns, received_ns);
        };
    setup.service.encode_cells = cells_encoder(map.voxel_m, static_cast<int32_t>(map.region_voxels));
    gpus = open_gpus(setup.backend, map, found);
    planned.check_gpus(gpus.size());
    setup.service.gpus = gpus;
    try {
      running = start_service(system, setup.service, running);
    } catch (const std::invalid_argument&) {
      throw; // before there are actors
    } catch (const std::exception& e) {
      give_up(e); // some actors may be there, and the system would wait for them
    }
    // Under the policy `newest` sources must be able to offer more than is taken, or there would never be an older one to drop.
    const auto taken = credit_of(setup.service);
    const uint32_t offered = setup.service.policy == input_policy::newest ? 2 * taken : taken;
    setup.service.gpus.clear();
    sink = make_ingest_sink(system, running, offered);
  };

  setup.server.map_comes_later = setup.voxel.has_value();
  setup.server.map = setup.service.map;
  setup.server.trouble = [&sources] { return sources.trouble(); };
  setup.server.parse_keyframe
    = [layout = setup.input.segments.layout](std::string id, uint64_t timestamp_ns, std::vector<std::byte> body) {
        auto frame = keyframe_of_message(std::move(body), keyframe_id{std::move(id)}, layout);
        if (timestamp_ns != 0)
          frame.timestamp_ns = timestamp_ns;
        return frame;
      };
  const auto bind = setup.server.bind;
  const auto certificate = setup.server.certificate;
  try {
    if (!setup.voxel) {
      start_map(setup.service.map);
      gate.open(*sink);
    }
    server web(system, running, gate, std::move(setup.server));
    const let_offers_go before_the_server{stop, sink}; // which waits for them
    const auto here = address(certificate ? "https" : "http", bind, web.port());
    std::cout << "listening on " << here << "/\n"
              << "metrics on " << address("http", bind, web.metrics_port()) << "/metrics" << std::endl;
    if (certificate)
      tell_certificate("TLS with", *certificate);
    if (setup.service.retain.any())
      spdlog::info("the oldest keyframes beyond {} are forgotten", describe(setup.service.retain));
    if (inputs.empty())
      spdlog::info("no source is named: keyframes are taken over HTTP, by POST {}/v1/keyframes; `tessera serve synthetic:room` "
                   "shows a room that is being scanned",
                   here);
    if (setup.voxel)
      spdlog::info("waiting for the first keyframe, to choose the voxel size");
    start_sources();
    if (setup.voxel && gate.wait_for_one()) {
      start_map(*chosen);
      web.open(setup.service.map, running.session);
      gate.open(*sink); // last: who sent the keyframe may ask for the map as soon as it is answered
    }
    drill_until_stopped(running, std::move(planned), gpu_breaker{gpus}, stop);

    spdlog::info("ending");
    // Sources first, so that what they cannot hand over any more stays with its producer; then what they wait for.
    sources.request_stop();
    if (sink)
      sink->close();
    sources.join();
    if (sink && !sink->drain(drain_limit))
      spdlog::warn("some keyframes were still under way");
    web.stop();
  } catch (...) {
    stop.request_stop(); // sources that wait at the gate
    sources.request_stop();
    if (sink)
      sink->close();
    sources.join();
    stop_service(system, running);
    throw;
  }
  stop_service(system, running);
  return stop.code();
}

void read_certificate_again(server_certificate* certificate) noexcept {
  try {
    if (certificate == nullptr)
      return spdlog::info("SIGHUP: without TLS (tls-cert) there is nothing to read again");
    certificate->read_again();
    tell_certificate("SIGHUP: new connections get", *certificate);
  } catch (const std::exception& e) {
    spdlog::error("SIGHUP: the certificate stays as it was: {}", e.what());
  }
}

} // namespace tessera
