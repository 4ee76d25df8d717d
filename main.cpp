// The command line: reads settings, hands them down as plain structs, and turns what goes wrong into messages and exit codes.

#include "config/completion.hpp"
#include "config/error.hpp"
#include "config/flags.hpp"
#include "config/frame_ancestors.hpp"
#include "config/man_page.hpp"
#include "config/resolve.hpp"
#include "config/retained.hpp"
#include "config/sample.hpp"
#include "config/table.hpp"
#include "config/usage.hpp"
#include "gpu/bounds.hpp"
#include "net/commands/health_command.hpp"
#include "net/commands/journal_command.hpp"
#include "net/commands/offline.hpp"
#include "net/commands/progress.hpp"
#include "net/commands/publish_command.hpp"
#include "net/commands/record_command.hpp"
#include "net/commands/rehearsal.hpp"
#include "net/commands/serve_command.hpp"
#include "net/commands/stop_signal.hpp"
#include "net/formats/slice_options.hpp"
#include "net/server/build_info.hpp"
#include "net/server/server_certificate.hpp"

#include <CLI/CLI.hpp>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <iostream>
#include <map>
#include <optional>
#include <thread>

namespace {

using namespace tessera;

enum exit_code { ok = 0, failed = 1, usage = 2 };

/// Cores that this process may use: those of the machine, less what an affinity mask or a container's cpuset takes away.
uint32_t usable_cores() {
  cpu_set_t allowed;
  if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0)
    return static_cast<uint32_t>(std::max(1, CPU_COUNT(&allowed)));
  return std::max(1u, std::thread::hardware_concurrency()); // more cores than the mask has room for
}

uint32_t threads_of(const config::settings& s) {
  return s.threads.value_or(std::min(usable_cores(), 1024u));
}

map_settings map_settings_of(const config::settings& s) {
  map_settings map;
  map.voxel_m = s.voxel_m.value_or(map.voxel_m);
  map.truncation_m = s.truncation_m.value_or(3 * map.voxel_m);
  map.region_voxels = s.region_voxels;
  map.min_range_m = s.min_range_m;
  map.max_range_m = s.max_range_m;
  map.min_confidence = s.min_confidence;
  if (s.voxel_m)
    map.validate(); // else it is not whole yet
  return map;
}

amqp_tls amqp_tls_of(const config::settings& s) {
  return {.ca_file = s.amqp_ca, .certificate_file = s.amqp_cert, .key_file = s.amqp_key, .insecure = s.amqp_insecure};
}

std::optional<auto_voxel> voxel_of(const config::settings& s) {
  if (s.voxel_m)
    return std::nullopt;
  const auto* row = config::find("voxel-size");
  return auto_voxel{.least_m = static_cast<float>(row->min),
                    .most_m = static_cast<float>(row->max),
                    .keep_min_range = !s.min_range_is_default,
                    .keep_max_range = !s.max_range_is_default,
                    .limits = {}};
}

source_options input_of(const config::settings& s) {
  source_options input;
  input.sequence.limit = s.limit.value_or(0);
  input.sequence.every = s.every;
  input.sequence.shuffle = s.shuffle;
  input.sequence.rate = static_cast<double>(s.rate_hz.value_or(10));
  input.recording = {.own_times = !s.rate_hz, .received_now = true};
  input.segments.layout = s.pose_layout == "row-major"      ? pose_layout::row_major
                          : s.pose_layout == "column-major" ? pose_layout::column_major
                                                            : pose_layout::automatic;
  input.synthetic.noise_m = s.noise_m;
  input.rgbd = {.max_depth_m = s.max_depth_m, .depth_scale = s.depth_scale};
  input.shm.unlink = s.unlink;
  input.amqp.exchange = s.exchange;
  input.amqp.queue = s.queue;
  input.amqp.prefetch = static_cast<uint16_t>(s.prefetch);
  input.amqp.tls = amqp_tls_of(s);
  input.amqp.shm_prefix = s.shm_prefix;
  input.amqp.unlink = s.unlink;
  return input;
}

backend_setup backend_of(const config::settings& s) {
  backend_setup setup;
  setup.name = s.backend;
  setup.gpus = s.gpus;
  setup.cap_bytes = s.memory_cap_bytes;
  setup.gpu.pool_bytes = s.memory_pool_bytes;
  setup.gpu.host_bytes = s.host_memory_bytes;
  setup.gpu.ray_lanes = s.streams;
  setup.gpu.copy_helpers = std::min(3u, threads_of(s) / 4);
  return setup;
}

/// Who wants to hear of warnings alone does not want to hear of progress.
progress_style progress_of(const config::settings& s) {
  return spdlog::level::from_str(s.log_level) > spdlog::level::info ? progress_style::none : style_of_standard_error();
}

offline_setup offline_of(const config::settings& s, const std::string& source) {
  offline_setup setup;
  setup.source = source;
  setup.input = input_of(s);
  setup.input.sequence.rate = 0; // there is nobody to watch
  setup.input.recording = {};
  setup.input.shm.unlink = false; // a look takes nothing away
  setup.map = map_settings_of(s);
  setup.voxel = voxel_of(s);
  setup.threads = threads_of(s);
  setup.backend = backend_of(s);
  setup.progress = progress_of(s);
  return setup;
}

/// The setup of a command that makes a map by itself, if it can have its threads.
offline_setup startable_offline_of(const config::settings& s, const std::string& source) {
  auto setup = offline_of(s, source);
  rehearse(2 * size_t{setup.threads} + 4, 0);
  return setup;
}

publish_setup publish_of(const config::settings& s, const std::string& source, const std::string& to) {
  publish_setup setup;
  setup.source = source;
  setup.to = to;
  setup.input = input_of(s);
  setup.output.exchange = s.exchange;
  setup.output.queue = s.queue;
  setup.output.amqp = amqp_tls_of(s);
  setup.output.embed = s.embed;
  setup.output.shm_prefix = s.shm_prefix;
  setup.output.token = s.token;
  setup.session = s.session;
  setup.progress = progress_of(s);
  return setup;
}

record_setup record_of(const config::settings& s, const std::vector<std::string>& sources, const std::string& file) {
  record_setup setup;
  setup.sources = sources;
  setup.file = file;
  setup.input = input_of(s);
  setup.input.sequence.rate = static_cast<double>(s.rate_hz.value_or(0));
  setup.input.recording = {};
  setup.packing = s.compression == "zstd"  ? mcap::packing::zstd
                  : s.compression == "lz4" ? mcap::packing::lz4
                                           : mcap::packing::none;
  setup.progress = progress_of(s);
  return setup;
}

journal_setup journal_of(const config::settings& s, const std::vector<std::string>& sources, bool fresh) {
  journal_setup setup;
  if (s.journal != "off")
    setup.folder = s.journal == "auto" ? default_journal(sources, s.port) : s.journal;
  setup.memory_bytes = s.store_memory_bytes;
  setup.snapshot_bytes = s.snapshots_bytes;
  setup.remembered = s.remember_retracted;
  setup.fresh = fresh;
  if (fresh && setup.folder.empty())
    throw config::error("--fresh: there is no journal to begin anew; name it (--journal DIR)");
  return setup;
}

serve_setup serve_of(const config::settings& s, const std::vector<std::string>& sources, bool fresh) {
  serve_setup setup;
  setup.sources = sources;
  setup.amqp_url = s.amqp_url;
  setup.input = input_of(s);
  setup.voxel = voxel_of(s);
  setup.threads = threads_of(s);
  setup.backend = backend_of(s);
  setup.drill = s.drill;
  setup.journal = journal_of(s, sources, fresh);
  setup.service.map = map_settings_of(s);
  setup.service.threads = setup.threads;
  setup.service.device_bytes = s.memory_cap_bytes;
  setup.service.store_bytes = s.store_memory_bytes;
  setup.service.store_folder = s.store_dir;
  setup.service.patch_bytes = s.patch_memory_bytes;
  setup.service.snapshot_after = std::chrono::milliseconds{std::lround(1000 * s.snapshot_after_s)};
  setup.service.stall_after = std::chrono::milliseconds{std::lround(1000 * s.stall_after_s)};
  setup.service.policy = s.policy == "newest" ? input_policy::newest : input_policy::block;
  const auto kept = config::parse_retained(s.retain);
  setup.service.retain = {.keyframes = kept.keyframes, .age = std::chrono::seconds{kept.age_s}, .ray_bytes = kept.ray_bytes};
  setup.service.remembered = s.remember_retracted;
  setup.server.bind = s.bind;
  setup.server.port = s.port;
  setup.server.metrics_port = s.metrics_port;
  setup.server.token = s.token;
  setup.server.insecure = s.insecure;
  if (!s.tls_cert.empty())
    setup.server.certificate = std::make_shared<server_certificate>(s.tls_cert, s.tls_key);
  setup.server.proxies = trusted_proxies(s.trusted_proxy);
  setup.server.frame_ancestors = config::parse_frame_ancestors(s.frame_ancestors);
  setup.server.max_connections = s.connections;
  setup.server.body_limit = s.body_bytes;
  return setup;
}

/// What the command line said, whichever command it is.
struct command_line {
  std::map<std::string, config::given> flags;
  std::string file;
  std::vector<std::string> sources;
  std::string source, output, to, times, up, keyframe, seconds = "0";
  std::map<std::string, std::string> slice;
  bool json = false, no_journal = false, fresh = false, by_region = false;
  journal_command_setup journal;

  config::settings settings() const {
    config::layers layers;
    layers.flags = flags;
    if (!file.empty())
      layers.file = config::read_file(file);
    auto resolved = config::resolve(layers);
    // On standard error whatever the command: standard output is for results.
    spdlog::set_default_logger(spdlog::stderr_color_mt("tessera"));
    spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%-5l%$ %v");
    spdlog::set_level(spdlog::level::from_str(resolved.values.log_level));
    for (const auto& warning : resolved.warnings)
      spdlog::warn("{}", warning);
    return resolved.values;
  }
};

constexpr const char* end_help
  = ". SIGINT (Ctrl+C) or SIGTERM ends a source without an end (shm:, amqp:), and the result is of what came until then";

/// Ends a command whose result is what it wrote to standard output.
int told(int code) {
  if (!std::cout.flush())
    throw std::runtime_error("standard output takes no more: is the disk full?");
  return code;
}

double seconds_of(const std::string& text) {
  constexpr double most = 1e9;
  try {
    if (const auto value = config::parse_number(text); value >= 0 && value <= most)
      return value;
  } catch (const std::invalid_argument&) {
    // said below
  }
  throw config::error("seconds (--seconds): " + config::in_quotes(text) + " is not 0 to 1000000000 s");
}

int run(int argc, char** argv) {
  CLI::App app{"Tessera makes live meshes from a SLAM system's keyframes.", "tessera"};
  app.set_version_flag("-V,--version", version_text(this_build()));
  app.require_subcommand(1);
  config::use_plain_help(app);
  app.footer("Help on a command: tessera help COMMAND, or tessera COMMAND --help.\n"
             "Exit status: 0: done; 1: it failed; 2: the command line or a setting cannot be.");
  const auto source_help = "Where keyframes come from: " + source_forms();
  command_line line;
  std::function<int()> chosen;
  const auto add
    = [&](const char* name, const std::string& help, const std::vector<std::string_view>& groups, std::function<int()> action) {
        auto* command = app.add_subcommand(name, help);
        config::add_flags(*command, groups, line.file);
        command->callback([&line, &chosen, command, groups, action = std::move(action)] {
          line.flags = config::given_flags(*command, groups);
          chosen = action;
        });
        return command;
      };

  auto* serve = add(
    "serve",
    "Serves the live mesh of what the sources bring, and of keyframes that are sent by HTTP. Without a source: the broker of "
    "amqp-url, if that is set",
    {"map", "work", "input", "server", "journal", "forgetting", "drill", "log"}, [&] {
      if (line.no_journal)
        line.flags["journal"] = {"off", "--no-journal"};
      const auto settings = line.settings();
      auto setup = serve_of(settings, line.sources, line.fresh);
      // Workers, encoders and devices' threads; the rest are one or two of a kind. And what a service without a map needs,
      // roughly.
      rehearse(3 * size_t{setup.threads} + 24, size_t{64} << 20);
      stop_signal stop([certificate = setup.server.certificate] { read_certificate_again(certificate.get()); });
      return serve_command(std::move(setup), stop);
    });
  serve->add_option("SOURCE", line.sources, source_help);
  serve->add_flag("--no-journal", line.no_journal, "Keep no journal, as --journal off")->excludes("--journal");
  serve->add_flag("--fresh", line.fresh, "Begin with an empty journal; the one before is kept aside, renamed with the time");

  auto* hash
    = add("hash", std::string("Prints the hash and the counts of a source's map") + end_help, {"map", "work", "input", "log"},
          [&] { return told(hash_command(startable_offline_of(line.settings(), line.source), std::cout)); });
  hash->add_option("SOURCE", line.source, source_help)->required();

  auto* mesh
    = add("mesh", std::string("Writes the mesh of a source's map to a file") + end_help, {"map", "work", "input", "log"}, [&] {
        const auto setup = startable_offline_of(line.settings(), line.source);
        return (line.by_region ? region_meshes_command : mesh_command)(setup, line.output, line.up);
      });
  mesh->add_option("SOURCE", line.source, source_help)->required();
  mesh
    ->add_option("-o,--output", line.output,
                 "The file; its ending tells the format: .ply, .glb or .drc. With --by-region a folder")
    ->required()
    ->type_name("FILE");
  mesh->add_flag("--by-region", line.by_region, "Write a PLY a region, X,Y,Z.ply, into a folder that is new or empty");
  mesh
    ->add_option(
      "--up", line.up,
      "Which way is up in the map: x, -x, y, -y, z, -z, or auto, which asks the cameras. What is written is turned so that up "
      "becomes +y: a .glb by its node (auto unless told otherwise), the vertices of others only if this is given")
    ->type_name("AXIS");

  auto* slice = add("slice",
                    std::string("Draws the field of a source's map along a plane: distance, weight and colour of its voxels, "
                                "with axes and scales, as a PNG")
                      + end_help,
                    {"map", "work", "input", "log"},
                    [&] { return slice_command(startable_offline_of(line.settings(), line.source), line.slice, line.output); });
  slice->add_option("SOURCE", line.source, source_help)->required();
  for (const auto& one : slice_option_table()) {
    const auto name = std::string(one.name);
    auto* option = slice->add_option("--" + name, line.slice[name], std::string(one.help))->type_name(std::string(one.value));
    option->required(name == "at");
  }
  slice->add_option("-o,--output", line.output, "The file, a .png")->required()->type_name("FILE");

  auto* rays = add("rays",
                   std::string("Writes the rays that a keyframe's points are bundled in to a PLY of points, with their colours "
                               "and weights")
                     + end_help,
                   {"map", "work", "input", "log"},
                   [&] { return rays_command(startable_offline_of(line.settings(), line.source), line.keyframe, line.output); });
  rays->add_option("SOURCE", line.source, source_help)->required();
  rays
    ->add_option("--keyframe", line.keyframe, "The keyframe's id; with its session before it and a slash between, if it has one")
    ->required()
    ->type_name("ID");
  rays->add_option("-o,--output", line.output, "The file, a .ply")->required()->type_name("FILE");

  auto* publish = add("publish", "Sends a source's keyframes to a service elsewhere", {"input", "log"}, [&] {
    const auto settings = line.settings();
    stop_signal stop;
    return publish_command(publish_of(settings, line.source, line.to), stop.token());
  });
  publish->add_option("SOURCE", line.source, source_help)->required();
  publish
    ->add_option(
      "--to", line.to,
      "Where to: amqp://USER:PASSWORD@HOST:PORT/VHOST (through shared memory, or see --embed; amqps:// for TLS), "
      "http://HOST:PORT (with TESSERA_TOKEN or ?token=TOKEN, if it asks for one), shm:/PREFIX (keyframes alone: a source's "
      "retractions and new poses need one of the others)")
    ->required()
    ->type_name("URL");

  auto* bench = add("bench", std::string("Measures how long a source's keyframes take, stage by stage") + end_help,
                    {"map", "work", "input", "log"}, [&] {
                      auto settings = line.settings();
                      if (!settings.threads)
                        settings.threads = 1;
                      auto setup = startable_offline_of(settings, line.source);
                      setup.times_file = line.times;
                      setup.input.sequence.seconds = seconds_of(line.seconds);
                      if (line.json)
                        setup.progress = progress_style::none;
                      return told(bench_command(setup, line.json, std::cout));
                    });
  bench->add_option("SOURCE", line.source, source_help)->required();
  bench->add_flag("--json", line.json, "Print one JSON object");
  bench
    ->add_option(
      "--seconds", line.seconds,
      "Take no keyframe but the first later than so long after the source's beginning, and measure those that came; 0: take all. "
      "[0 to 1000000000 s; default 0]")
    ->type_name("S");
  bench->add_option("--times", line.times, "Also write the milliseconds of each keyframe to a CSV file")->type_name("FILE");

  auto* record = add("record",
                     "Writes what sources bring into a recording, an MCAP file, until they end, or SIGINT (Ctrl+C) or SIGTERM "
                     "comes: keyframes, new poses and retractions, to be played again as recording:FILE",
                     {"input", "record", "log"}, [&] {
                       const auto settings = line.settings();
                       stop_signal stop;
                       return record_command(record_of(settings, line.sources, line.output), stop.token());
                     });
  record->add_option("SOURCE", line.sources, source_help)->required();
  record->add_option("-o,--output", line.output, "The file, which must not be there yet; .mcap is what tools know it by")
    ->required()
    ->type_name("FILE");

  auto* health
    = add("health", "Asks a running service whether it is well, for health checks of containers: 0 if it answers so within 2 s",
          {}, [&] {
            if (line.to.empty()) {
              const auto settings = line.settings();
              if (settings.port == 0)
                throw config::error("port is 0, any free one: name the URL of the service (tessera health URL)");
              line.to = health_url(settings.bind, settings.port, !settings.tls_cert.empty());
            }
            return told(health_command(line.to, std::chrono::seconds{2}, std::cout));
          });
  health
    ->add_option(
      "URL", line.to,
      "http://HOST:PORT or https://HOST:PORT (any certificate will do), or another path than /healthz behind it. Unless given: "
      "this machine, with the port, the bind and the TLS that serve would have, by environment and settings file")
    ->type_name("URL");

  auto* journal = app.add_subcommand("journal", "Looks into the journal of a service that does not run");
  journal
    ->add_option(
      "ACTION", line.journal.action,
      "info: what is in it; verify: also whether every record is whole; salvage: keeps of a damaged log what was "
      "written before the damage; "
      "compact: gives the space of erased keyframes back; release: has the next start try again what is in quarantine; "
      "export: writes the keyframes into a recording, their rays as points")
    ->required();
  journal->add_option("DIR", line.journal.folder, "The journal's folder")->required();
  journal->add_flag("--json", line.journal.json, "Print one JSON object");
  journal
    ->add_option("-o,--output", line.journal.output,
                 "Of an export the recording, which must not be there yet; .mcap is what tools know it by")
    ->type_name("FILE");
  journal->callback([&line, &chosen] { chosen = [&line] { return told(journal_command(line.journal, std::cout)); }; });

  auto* sample = app.add_subcommand("settings", "Prints a settings file with every setting, its unit, range and default");
  sample->callback([&chosen] {
    chosen = [] {
      std::cout << config::sample_file();
      return told(ok);
    };
  });

  std::string shell;
  auto* completion = app.add_subcommand(
    "completion",
    "Prints a script by which a shell completes tessera's command line; for bash: source <(tessera completion bash)");
  completion->add_option("SHELL", shell, "bash, zsh or fish")->required();
  completion->callback([&] {
    chosen = [&] {
      std::cout << config::completion(app, shell);
      return told(ok);
    };
  });

  auto* manual = app.add_subcommand("man", "Prints the manual page, for man: tessera man | man -l -");
  manual->callback([&] {
    chosen = [&] {
      std::cout << config::man_page(app, TESSERA_VERSION);
      return told(ok);
    };
  });

  try {
    app.parse(config::words_of(argc, argv, app));
  } catch (const CLI::ParseError& e) {
    if (e.get_exit_code() == 0) // help and version
      return told(app.exit(e));
    throw config::error(config::usage_fault(app, e));
  }
  return chosen();
}

} // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "serve")
    hold_hangup();
  std::signal(SIGXFSZ, SIG_IGN); // a file that may not grow is an error to whoever writes it, as a full disk is
  const auto complain = [](const std::exception& e, int code) {
    std::cerr << "tessera: " << e.what() << '\n';
    return code;
  };
  end_with_reasons();
  try {
    return run(argc, argv);
  } catch (const std::invalid_argument& e) { // settings, sources and addresses that cannot be
    return complain(e, usage);
  } catch (const memory_cap_reached& e) {
    std::cerr << "tessera: " << e.what() << ". Give it more (--memory-cap 16GiB; 0: no cap), or take a larger --voxel-size or "
              << "fewer keyframes (--limit)\n";
    return failed;
  } catch (const no_room& e) {
    std::cerr << "tessera: out of memory: " << e.what() << ". Give it more (--memory-cap; on GPUs --memory-pool, "
              << "--host-memory), or take a larger --voxel-size or fewer keyframes (--limit)\n";
    return failed;
  } catch (const std::bad_alloc& e) {
    std::cerr << "tessera: out of memory: this machine has no more, or a GPU's memory-pool and host-memory are full. A larger "
              << "--voxel-size or fewer keyframes (--limit) need less\n";
    return failed;
  } catch (const std::exception& e) {
    return complain(e, failed);
  }
}
