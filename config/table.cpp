#include "config/table.hpp"

#include "config/frame_ancestors.hpp"
#include "config/nearest.hpp"
#include "config/retained.hpp"
#include "messages/roles.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <stdexcept>

namespace tessera::config {

namespace {

constexpr double gib = 1024.0 * 1024.0 * 1024.0;
constexpr double any = 9007199254740992.0; // 2^53: every whole number up to it is exact

const std::string drill_help
  = "Kills actors of serve on purpose, to see that the map survives: ROLE@KEYFRAMES, separated by commas; each when so many "
    "keyframes have been accepted. Roles: "
    + role::killable_in_words()
    + "; launch, after which the driver refuses what the first GPU in use is to do, the second time the next one; and gpu, "
      "likewise a kernel that traps, after which all GPUs are lost to this process and the CPU takes over";

const std::vector<setting> rows{
  {.name = "voxel-size",
   .group = "map",
   .value = &settings::voxel_m,
   .fallback = "0.05",
   .unit = "m",
   .min = 0.0001,
   .max = 100,
   .word = "auto",
   .help = "Edge of a voxel, in the units of the poses; auto, for maps without metric scale, chooses it from the first keyframe "
           "that the map "
           "would take, and the truncation and the ranges that are not set with it",
   .aliases = {"MESH_VOXEL_SIZE"}},
  {.name = "truncation",
   .group = "map",
   .value = &settings::truncation_m,
   .fallback = "auto",
   .unit = "m",
   .min = 0.0001,
   .max = 1600,
   .word = "auto",
   .help = "How far before a surface is written, 1 to 16 voxels (behind it: as far, at most 1.875 voxels); auto is three voxels",
   .aliases = {"MESH_TRUNCATION_DISTANCE"}},
  {.name = "region-size",
   .group = "map",
   .value = &settings::region_voxels,
   .fallback = "64",
   .unit = "voxels",
   .min = 16,
   .max = 256,
   .step = 8,
   .help
   = "Edge of a region; changes how the map is cut, never the map. But one keyframe may touch 8192 regions at most, so that "
     "smaller ones take keyframes that reach less far"},
  {.name = "min-confidence",
   .group = "map",
   .value = &settings::min_confidence,
   .fallback = "0",
   .min = 0,
   .max = 1e9,
   .help = "Points with less confidence are left out, where the producer gives confidence"},
  {.name = "min-range",
   .group = "map",
   .value = &settings::min_range_m,
   .fallback = "0.05",
   .unit = "m",
   .min = 0,
   .max = 1e6,
   .help = "Points nearer to the camera are left out; in the keyframe's own unit, if its pose has a scale"},
  {.name = "max-range",
   .group = "map",
   .value = &settings::max_range_m,
   .fallback = "100",
   .unit = "m",
   .min = 0.001,
   .max = 1e6,
   .help = "Points farther from the camera are left out; in the keyframe's own unit, if its pose has a scale"},

  {.name = "threads",
   .group = "work",
   .value = &settings::threads,
   .fallback = "all",
   .min = 1,
   .max = 1024,
   .word = "all",
   .help = "Threads that do the work; all is one for each core that the process may use"},
  {.name = "backend",
   .group = "work",
   .value = &settings::backend,
   .fallback = "auto",
   .choices = {"auto", "cpu", "cuda"},
   .help = "What computes the field: the CPU, or NVIDIA GPUs; auto takes the fastest there is"},
  {.name = "gpus",
   .group = "work",
   .value = &settings::gpus,
   .fallback = "all",
   .unit = "bytes",
   .min = 1,
   .max = 100,
   .form = "all, a number of GPUs, or a list of their numbers with commas",
   .help = "GPUs to use: all; a number of them, as 2; or which, as 0,3 (one alone with a comma: 3,)"},
  {.name = "memory-cap",
   .group = "work",
   .value = &settings::memory_cap_bytes,
   .fallback = "4GiB",
   .unit = "bytes",
   .min = 0,
   .max = any,
   .help = "Memory of the field and its meshes on the CPU, or of each GPU; what would need more stays with its sender, is "
           "counted and shown. 0: no cap",
   .aliases = {"MESH_MAX_GPU_MEMORY"}},
  {.name = "memory-pool",
   .group = "work",
   .value = &settings::memory_pool_bytes,
   .fallback = "1GiB",
   .unit = "bytes",
   .min = 1024.0 * 1024.0,
   .max = 1024 * gib,
   .help
   = "Memory that each GPU takes at the start for voxels, half of memory-cap at most: the rest is for meshing. All that one "
     "keyframe writes to must fit in",
   .aliases = {"MESH_MEMORY_POOL_SIZE"}},
  {.name = "host-memory",
   .group = "work",
   .value = &settings::host_memory_bytes,
   .fallback = "4GiB",
   .unit = "bytes",
   .min = 0,
   .max = any,
   .help
   = "Host memory for the regions of each GPU that its pool has no room for; the least recently touched leave first. 0: none "
     "leaves, and what does not fit stays with its sender"},
  {.name = "streams",
   .group = "work",
   .value = &settings::streams,
   .fallback = "5",
   .min = 1,
   .max = 64,
   .help = "Keyframes that each GPU takes in at once"},
  {.name = "store-memory",
   .group = "work",
   .value = &settings::store_memory_bytes,
   .fallback = "256MiB",
   .unit = "bytes",
   .min = 1024.0 * 1024.0,
   .max = 1024 * gib,
   .help = "Memory for the rays of live keyframes; with a journal, for what is to be written and a cache; else what is beyond "
           "goes to a "
           "file"},
  {.name = "patch-memory",
   .group = "work",
   .value = &settings::patch_memory_bytes,
   .fallback = "1GiB",
   .unit = "bytes",
   .min = 0,
   .max = any,
   .help = "Memory for encoded patches, which viewers are sent; what is beyond, the oldest first, is encoded again when somebody "
           "wants it. 0: no cap"},
  {.name = "store-dir",
   .group = "work",
   .value = &settings::store_dir,
   .fallback = "",
   .help = "Folder of that file; empty: the system's folder for temporary files"},

  {.name = "limit",
   .group = "input",
   .value = &settings::limit,
   .fallback = "all",
   .unit = "keyframes",
   .min = 1,
   .max = any,
   .word = "all",
   .help = "Stop after so many keyframes"},
  {.name = "every",
   .group = "input",
   .value = &settings::every,
   .fallback = "1",
   .min = 1,
   .max = 1e6,
   .help = "Take every K-th keyframe of a source"},
  {.name = "shuffle",
   .group = "input",
   .value = &settings::shuffle,
   .fallback = "off",
   .min = 0,
   .max = any,
   .word = "off",
   .help = "Seed of a random order of the keyframes of a finite source; the map must not depend on it"},
  {.name = "rate",
   .group = "input",
   .value = &settings::rate_hz,
   .fallback = "auto",
   .unit = "keyframes/s",
   .min = 0,
   .max = 1e6,
   .word = "auto",
   .help = "Speed at which serve and publish play a synthetic scan, a folder or a recording. 0: as fast as it is taken; auto: a "
           "recording as it was recorded, others at 10. record takes them as fast as it can unless it is told otherwise"},
  {.name = "policy",
   .group = "input",
   .value = &settings::policy,
   .fallback = "block",
   .choices = {"block", "newest"},
   .help
   = "When keyframes come faster than they are worked: block makes the producer wait, newest lets waiting ones go for newer "
     "ones, and counts them"},
  {.name = "amqp-url",
   .group = "input",
   .value = &settings::amqp_url,
   .fallback = "",
   .form = "amqp://USER:PASSWORD@HOST:PORT/VHOST",
   .help
   = "Broker that serve takes keyframes from when no source is named: amqp://USER:PASSWORD@HOST:PORT/VHOST, or with amqps:// "
     "for TLS",
   .aliases = {"RABBITMQ_URL"}},
  {.name = "amqp-ca",
   .group = "input",
   .value = &settings::amqp_ca,
   .fallback = "",
   .help = "PEM file with the authorities that may vouch for an amqps:// broker; empty: the system's"},
  {.name = "amqp-cert",
   .group = "input",
   .value = &settings::amqp_cert,
   .fallback = "",
   .help = "PEM file with our own certificate, for amqps:// brokers that ask for one"},
  {.name = "amqp-key",
   .group = "input",
   .value = &settings::amqp_key,
   .fallback = "",
   .help = "PEM file with the key of amqp-cert, without a password"},
  {.name = "amqp-insecure",
   .group = "input",
   .value = &settings::amqp_insecure,
   .fallback = "false",
   .help = "Take whatever answers for the amqps:// broker, whoever it is"},
  {.name = "exchange",
   .group = "input",
   .value = &settings::exchange,
   .fallback = "slam3r_keyframe_exchange",
   .unit = "bytes",
   .min = 1,
   .max = 255,
   .help = "Topic exchange that keyframes are published to",
   .aliases = {"SLAM3R_KEYFRAME_EXCHANGE"}},
  {.name = "queue",
   .group = "input",
   .value = &settings::queue,
   .fallback = "tessera",
   .unit = "bytes",
   .min = 1,
   .max = 255,
   .help = "Queue to consume from; keyframes wait in it while no service runs"},
  {.name = "prefetch",
   .group = "input",
   .value = &settings::prefetch,
   .fallback = "16",
   .unit = "messages",
   .min = 1,
   .max = 512,
   .help = "Messages that the broker may send before one is acknowledged"},
  {.name = "shm-prefix",
   .group = "input",
   .value = &settings::shm_prefix,
   .fallback = "/slam3r_keyframe_",
   .unit = "bytes",
   .min = 2,
   .max = 200,
   .help = "Shared memory segments are read only if their names begin so"},
  {.name = "unlink",
   .group = "input",
   .value = &settings::unlink,
   .fallback = "true",
   .help = "Remove segments when they were read; their producers do not",
   .aliases = {"MESH_SERVICE_UNLINK_SHM"}},
  {.name = "embed",
   .group = "input",
   .value = &settings::embed,
   .fallback = "false",
   .help = "publish to a broker sends the keyframes inside the messages, for a service on another machine"},
  {.name = "session",
   .group = "input",
   .value = &settings::session,
   .fallback = "",
   .unit = "bytes",
   .min = 0,
   .max = 64,
   .help
   = "Session that publish names for keyframes without one. Ids count once within a session: without this, what is published "
     "a second time counts once; with another name it counts again"},
  {.name = "pose-layout",
   .group = "input",
   .value = &settings::pose_layout,
   .fallback = "auto",
   .choices = {"auto", "row-major", "column-major"},
   .help = "Layout of a segment header's pose where both readings are possible; elsewhere it is told by its last row or column"},
  {.name = "max-depth",
   .group = "input",
   .value = &settings::max_depth_m,
   .fallback = "4",
   .unit = "m",
   .min = 0.01,
   .max = 1000,
   .help = "Depths of RGB-D folders beyond this are left out; so are 0 and 65535, which mean that there is none"},
  {.name = "depth-scale",
   .group = "input",
   .value = &settings::depth_scale,
   .fallback = "1000",
   .unit = "units per metre",
   .min = 1,
   .max = 1e6,
   .help = "What depth images of RGB-D folders count in: 1000 is millimetres; TUM's have 5000, Replica's 6553.5"},
  {.name = "noise",
   .group = "input",
   .value = &settings::noise_m,
   .fallback = "0",
   .unit = "m",
   .min = 0,
   .max = 1,
   .help = "Standard deviation of the noise along the rays of a synthetic scan"},

  {.name = "bind",
   .group = "server",
   .value = &settings::bind,
   .fallback = "127.0.0.1",
   .unit = "bytes",
   .min = 2,
   .max = 45,
   .form = "an IPv4 or IPv6 address, or localhost",
   .help = "Address to listen on; one that others can reach needs a token, or insecure"},
  {.name = "port",
   .group = "server",
   .value = &settings::port,
   .fallback = "8080",
   .min = 0,
   .max = 65535,
   .help = "Port of the pages and streams. 0: any free one"},
  {.name = "metrics-port",
   .group = "server",
   .value = &settings::metrics_port,
   .fallback = "8006",
   .min = 0,
   .max = 65535,
   .help = "Port of /metrics. 0: any free one"},
  {.name = "token",
   .group = "server",
   .value = &settings::token,
   .fallback = "",
   .unit = "bytes",
   .min = 0,
   .max = 256,
   .check =
     [](std::string_view text) {
       if (!std::all_of(text.begin(), text.end(), [](char c) { return c > 32 && c < 127; }))
         throw std::invalid_argument("a token is printable ASCII without blanks");
     },
   .help
   = "What every HTTP and WebSocket client must show; empty: nothing. Better given by environment or file than as a flag, which "
     "other users of the machine can see"},
  {.name = "insecure",
   .group = "server",
   .value = &settings::insecure,
   .fallback = "false",
   .help = "Listen on an address that others can reach without asking for a token"},
  {.name = "tls-cert",
   .group = "server",
   .value = &settings::tls_cert,
   .fallback = "",
   .help
   = "PEM file with the certificate by which the pages and streams are served over TLS (https, wss), followed by those that "
     "lead to its authority; empty: no TLS. SIGHUP has it read again"},
  {.name = "tls-key",
   .group = "server",
   .value = &settings::tls_key,
   .fallback = "",
   .help = "PEM file with the key of tls-cert, without a password"},
  {.name = "trusted-proxy",
   .group = "server",
   .value = &settings::trusted_proxy,
   .fallback = "",
   .unit = "bytes",
   .min = 0,
   .max = 4000,
   .form = "addresses and networks (ADDRESS/PREFIX) with commas, 4000 bytes at most",
   .help = "Proxies whose X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host are believed, such as 127.0.0.1 or "
           "10.0.0.0/8,fd00::/8; empty: nobody's are"},
  {.name = "frame-ancestors",
   .group = "server",
   .value = &settings::frame_ancestors,
   .fallback = "none",
   .unit = "bytes",
   .min = 1,
   .max = 2000,
   .form = "none, self, or origins with commas (https://example.org, https://*.example.org, http://127.0.0.1:3000)",
   .check = [](std::string_view text) { (void)parse_frame_ancestors(text); },
   .help = "Sites whose pages may show the viewer and the console in a frame: none; self, the service's own; or others by their "
           "origins, with commas. The element <tessera-view> is no frame, and needs none of it"},
  {.name = "connections",
   .group = "server",
   .value = &settings::connections,
   .fallback = "20000",
   .min = 1,
   .max = 1000000,
   .help = "Most connections at once, half of them of one client; more are answered that the service is full"},
  {.name = "body-limit",
   .group = "server",
   .value = &settings::body_bytes,
   .fallback = "64MiB",
   .unit = "bytes",
   .min = 1024,
   .max = 4 * gib,
   .help = "Largest body of a request, which bounds a keyframe sent by HTTP"},
  {.name = "stall-after",
   .group = "server",
   .value = &settings::stall_after_s,
   .fallback = "10",
   .unit = "s",
   .min = 0.1,
   .max = 86400,
   .help = "What has work and has not advanced for so long is called stalled: /readyz says so until it goes on"},

  {.name = "journal",
   .group = "journal",
   .value = &settings::journal,
   .fallback = "auto",
   .unit = "bytes",
   .min = 1,
   .max = 4000,
   .form = "a folder, auto or off",
   .help
   = "Folder in which serve keeps the live keyframes, to have them again after its next start; off: none. auto: tessera/PORT "
     "in XDG_STATE_HOME (else ~/.local/state); none if all sources are synthetic:, rgbd: or recording:, which come again, nor "
     "for port 0"},
  {.name = "snapshots",
   .group = "journal",
   .value = &settings::snapshots_bytes,
   .fallback = "4GiB",
   .unit = "bytes",
   .min = 0,
   .max = any,
   .help
   = "Room on the disk for snapshots of regions, in the journal's folder, of which the next start makes the map sooner than of "
     "all keyframes' rays; they make way for keyframes. 0: none are taken"},
  {.name = "snapshot-after",
   .group = "journal",
   .value = &settings::snapshot_after_s,
   .fallback = "5",
   .unit = "s",
   .min = 0,
   .max = 86400,
   .help = "A region's snapshot is taken when it has not changed for so long; one that never rests has it after twelve times as "
           "long"},

  {.name = "compression",
   .group = "record",
   .value = &settings::compression,
   .fallback = "none",
   .choices = {"none", "lz4", "zstd"},
   .help = "How record compresses what it writes"},

  {.name = "retain",
   .group = "forgetting",
   .value = &settings::retain,
   .fallback = "all",
   .unit = "bytes",
   .min = 1,
   .max = 100,
   .form = "all, or bounds with commas: a number of keyframes (5000), an age (90s, 30min, 2h, 7d), a size of rays (500MB, 4GiB)",
   .check = [](std::string_view text) { (void)parse_retained(text); },
   .help
   = "What serve keeps in the map and in the journal: the oldest keyframes beyond any of the bounds are taken out, as if they "
     "had never come; all: none are. Age counts from when a keyframe came; a ray takes 16 bytes"},
  {.name = "remember-retracted",
   .group = "forgetting",
   .value = &settings::remember_retracted,
   .fallback = "65536",
   .unit = "ids",
   .min = 0,
   .max = 1048576,
   .help
   = "Retractions of keyframes that never came which serve remembers, in the journal, too, to keep those keyframes out if they "
     "come late; the oldest go first. As many ids are remembered of keyframes that went, which may come again, and as many "
     "groups "
     "without keyframes that were moved; 0: none"},

  {.name = "drill",
   .group = "drill",
   .value = &settings::drill,
   .fallback = "",
   .unit = "bytes",
   .min = 0,
   .max = 1000,
   .form = "ROLE@KEYFRAMES, separated by commas, 1000 bytes at most",
   .help = drill_help},

  {.name = "log-level",
   .group = "log",
   .value = &settings::log_level,
   .fallback = "info",
   .choices = {"trace", "debug", "info", "warn", "error", "critical", "off"},
   .help = "Least important events to tell of, on standard error",
   .aliases = {"LOG_LEVEL"}},
};

const ineffective without_effect[] = {
  {"MESH_MAX_VERTICES", "meshes have no limit of vertices here: regions grow as the map does, and memory-cap bounds them all"},
  {"MESH_CAMERA_VELOCITY_THRESHOLD", "regions are meshed when they change, however fast the camera moves"},
};

void put_number(std::ostream& out, double value) {
  out.precision(12);
  for (auto [size, name] : {std::pair{gib * 1024, "TiB"}, {gib, "GiB"}, {gib / 1024, "MiB"}, {1024.0, "KiB"}})
    if (value >= size && value / size == static_cast<double>(static_cast<uint64_t>(value / size))) {
      out << value / size << ' ' << name;
      return;
    }
  out << value;
}

} // namespace

std::span<const setting> table() {
  return rows;
}

std::span<const ineffective> ineffective_names() {
  return without_effect;
}

const setting* find(std::string_view name) {
  for (const auto& row : rows)
    if (row.name == name)
      return &row;
  return nullptr;
}

std::string_view nearest_name(std::string_view typed) {
  std::vector<std::string_view> names;
  for (const auto& row : rows)
    names.push_back(row.name);
  return nearest(typed, names);
}

std::string_view nearest_group(std::string_view typed) {
  std::vector<std::string_view> names;
  for (const auto& row : rows)
    names.push_back(row.group);
  return nearest(typed, names);
}

std::string environment_name(const setting& s) {
  std::string name = "TESSERA_";
  for (auto c : s.name)
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

std::string bounds_text(const setting& s) {
  std::ostringstream out;
  if (!s.choices.empty()) {
    for (size_t i = 0; i < s.choices.size(); ++i)
      out << (i == 0 ? "" : i + 1 == s.choices.size() ? " or " : ", ") << s.choices[i];
    return out.str();
  }
  if (std::holds_alternative<bool settings::*>(s.value))
    return "true or false";
  const auto is_text = std::holds_alternative<std::string settings::*>(s.value);
  if (is_text && !s.form.empty())
    return std::string(s.form);
  if (is_text && s.max == 0)
    return "text";
  if (is_text)
    out << "text of ";
  const auto is_size = s.unit == "bytes" && !is_text;
  const auto number = [&](double value) {
    if (is_size && value > 0)
      put_number(out, value);
    else
      out << value;
  };
  out.precision(12);
  if (is_text && s.min == 0)
    out << "at most " << s.max;
  else if (s.max == any) {
    number(s.min);
    out << " or more";
  } else {
    number(s.min);
    out << " to ";
    number(s.max);
  }
  if (!s.unit.empty() && !(is_size && s.max != any))
    out << ' ' << s.unit;
  if (s.step > 1)
    out << ", a multiple of " << s.step;
  if (!s.word.empty())
    out << ", or " << s.word;
  return out.str();
}

} // namespace tessera::config
