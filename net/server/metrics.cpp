#include "net/server/metrics.hpp"

#include "messages/clock.hpp"
#include "net/server/process_numbers.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace tessera {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class family_list {
public:
  std::vector<MetricFamily> out;

  void counter(const char* name, const char* help, double value) {
    add(name, help, MetricType::Counter);
    counted(value);
  }
  void gauge(const char* name, const char* help, double value) {
    add(name, help, MetricType::Gauge);
    ClientMetric m;
    m.gauge.value = value;
    out.back().metric.push_back(std::move(m));
  }
  /// Begins a family of counters with labels.
  void counters(const char* name, const char* help) { add(name, help, MetricType::Counter); }
  /// Begins a family of gauges with labels.
  void gauges(const char* name, const char* help) { add(name, help, MetricType::Gauge); }
  /// Adds one to the family begun last.
  void gauged(double value, std::vector<ClientMetric::Label> labels) {
    ClientMetric m;
    m.gauge.value = value;
    m.label = std::move(labels);
    out.back().metric.push_back(std::move(m));
  }
  /// Adds one to the family begun last.
  void counted(double value, std::vector<ClientMetric::Label> labels = {}) {
    ClientMetric m;
    m.counter.value = value;
    m.label = std::move(labels);
    out.back().metric.push_back(std::move(m));
  }
  void info(const char* name, const char* help, std::vector<ClientMetric::Label> labels) {
    gauge(name, help, 1);
    out.back().metric.back().label = std::move(labels);
  }
  void histograms(const char* name, const char* help) { add(name, help, MetricType::Histogram); }
  void timed(const time_histogram& from, std::vector<ClientMetric::Label> labels = {}) {
    static constexpr std::array bounds{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0};
    ClientMetric m;
    m.label = std::move(labels);
    uint64_t below = 0;
    for (auto bound : bounds) {
      // Others count meanwhile: what is cumulative must not fall.
      below = std::max(below, from.at_most(bound));
      m.histogram.bucket.push_back({below, bound});
    }
    m.histogram.sample_count = std::max(below, from.count());
    m.histogram.bucket.push_back({m.histogram.sample_count, INFINITY});
    m.histogram.sample_sum = from.total_s();
    out.back().metric.push_back(std::move(m));
  }

private:
  void add(const char* name, const char* help, MetricType type) {
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = type;
    out.push_back(std::move(family));
  }
};

template <class T>
double read(const std::atomic<T>& from) {
  return static_cast<double>(from.load(std::memory_order_relaxed));
}

void add_keyframes(family_list& to, const telemetry& n) {
  to.counters("tessera_keyframes_total", "Keyframes, by what became of them.");
  to.counted(read(n.accepted), {{"outcome", "accepted"}});
  to.counted(read(n.duplicate), {{"outcome", "duplicate"}});
  to.counted(read(n.refused), {{"outcome", "refused"}});
  to.counted(read(n.dropped), {{"outcome", "dropped"}});
  to.counted(read(n.conflicts), {{"outcome", "conflict"}});
  to.counted(read(n.kept_out), {{"outcome", "retracted"}});
  to.counters("tessera_keyframes_refused_total", "Keyframes that were refused, by reason.");
  for (size_t i = 0; i < refusals; ++i)
    to.counted(read(n.refused_by[i]), {{"reason", to_string(static_cast<refusal>(i))}});
  to.counters("tessera_keyframes_not_now_total",
              "Keyframes, retractions and poses that stayed with their senders, by what was wanting: each try counts.");
  for (size_t i = 0; i < hindrances; ++i)
    to.counted(read(n.not_now_by[i]), {{"reason", to_string(static_cast<hindrance>(i))}});
  to.counter("tessera_keyframe_conflicts_total", "Keyframes whose id was live with other content.", read(n.conflicts));
  to.counters("tessera_inputs_set_aside_total", "Inputs that were set aside, by source; ingest: keyframes that were refused.");
  auto by_source = n.set_aside.by_source();
  for (const char* source : {"amqp", "http", "ingest", "recording", "rgbd", "shm", "synthetic"})
    by_source.try_emplace(source, 0);
  for (const auto& [source, count] : by_source)
    to.counted(static_cast<double>(count), {{"source", source}});
  to.counter("tessera_keyframes_retracted_total", "Keyframes that were taken out of the map.", read(n.retracted));
  to.counter("tessera_keyframes_forgotten_total",
             "Keyframes that went from the map since they were beyond what is kept (retain).", read(n.forgotten));
  to.counter("tessera_keyframes_revised_total", "Keyframes that got another pose.", read(n.revised));
  to.counter("tessera_corrections_total", "Requests to move many keyframes that were done, whatever became of each.",
             read(n.corrections));
  to.counter("tessera_keyframes_unknown_total", "Retractions and revisions of keyframes that were not live.", read(n.unknown));
  to.gauge("tessera_retractions_remembered", "Retractions of keyframes that never came, which keep them out if they do.",
           read(n.retractions));
  to.counter("tessera_retractions_let_go_total", "Such retractions that were forgotten for newer ones (remember-retracted).",
             read(n.retractions_let_go));
  to.counter("tessera_keyframe_points_total", "Points of accepted keyframes.", read(n.points));
  to.counter("tessera_rays_total", "Rays made of them.", read(n.rays));
  to.counter("tessera_identity_poses_total", "Accepted keyframes whose pose was the identity: suspicious if all are.",
             read(n.identity_poses));
  to.counter("tessera_keyframes_quarantined_total", "Keyframes that came into quarantine, since something died over them.",
             static_cast<double>(n.quarantine.entered()));
  to.gauge("tessera_quarantined_keyframes", "Keyframes in quarantine.", static_cast<double>(n.quarantine.size()));
  to.gauge("tessera_live_keyframes", "Keyframes in the map.", read(n.live_keyframes));
  to.gauge("tessera_live_rays", "Rays of the keyframes in the map.", read(n.live_rays));
}

void add_flow(family_list& to, const telemetry& n) {
  to.gauge("tessera_ingest_credit", "Keyframes that may be under way at once.", read(n.credit_limit));
  to.gauge("tessera_ingest_under_way", "Keyframes under way.", read(n.under_way));
  to.gauge("tessera_ingest_waiting", "Keyframes that wait for credit.", read(n.waiting));
  to.gauge("tessera_encode_waiting", "Surfaces that wait for a thread to encode them.", read(n.encodes_waiting));
  to.gauge("tessera_encode_under_way", "Surfaces that are being encoded.", read(n.encodes_under_way));
  to.histograms("tessera_stage_duration_seconds", "How long a step of one keyframe or one region took.");
  to.timed(n.rays_time, {{"stage", "rays"}});
  to.timed(n.integrate_time, {{"stage", "integrate"}});
  to.timed(n.extract_time, {{"stage", "extract"}});
  to.timed(n.encode_wait_time, {{"stage", "encode_wait"}});
  to.timed(n.encode_time, {{"stage", "encode"}});
  to.histograms("tessera_keyframe_duration_seconds", "From a keyframe's arrival at ingest to all its regions having it.");
  to.timed(n.keyframe_time);
  to.histograms("tessera_patch_delay_seconds", "From a keyframe's arrival to the patch that shows it.");
  to.timed(n.patch_time);
}

void add_map(family_list& to, const telemetry& n) {
  to.gauge("tessera_regions", "Regions with a surface.", read(n.regions));
  to.gauge("tessera_vertices", "Vertices of the newest patches.", read(n.vertices));
  to.gauge("tessera_triangles", "Triangles of the newest patches.", read(n.triangles));
  to.counter("tessera_patches_total", "Patches encoded.", read(n.patches));
  to.counter("tessera_patch_bytes_total", "Bytes of the patches encoded.", read(n.patch_bytes));
  to.gauge("tessera_held_patch_bytes", "Bytes of newest patches, held for viewers that come late.", read(n.held_patch_bytes));
  to.gauge("tessera_store_memory_bytes", "Keyframe store's memory: index, and rays; with a journal, its buffers and cache.",
           read(n.store_memory_bytes));
  to.gauge("tessera_store_disk_bytes", "Keyframe store's disk: rays beyond store-memory; with a journal, all its files.",
           read(n.store_disk_bytes));
  to.counter("tessera_store_errors_total", "Failed reads and writes of the store.", read(n.store_errors));
  to.gauge("tessera_snapshots", "Snapshots of regions on disk.", read(n.snapshots));
  to.gauge("tessera_snapshot_bytes", "What they take on disk.", read(n.snapshot_bytes));
  const auto oldest = n.oldest_snapshot_ns.load(std::memory_order_relaxed);
  to.gauge("tessera_snapshot_age_seconds", "Since the oldest of them was taken; 0: there is none.",
           oldest == 0 ? 0. : std::max(0., 1e-9 * (static_cast<double>(system_ns()) - static_cast<double>(oldest))));
  to.counter("tessera_snapshots_written_total", "Snapshots written.", read(n.snapshots_written));
  to.counter("tessera_snapshots_failed_total", "Snapshots that could not be written.", read(n.snapshots_failed));
  to.counter("tessera_snapshots_used_total", "Regions that were made of a snapshot at the start.", read(n.snapshots_used));
}

/// Of GPUs: the CPU has no pool.
void add_devices(family_list& to, const telemetry& n) {
  to.counter("tessera_keyframe_kernels_total", "Kernels launched to take keyframes, on all GPUs.", read(n.device_kernels));
  to.counter("tessera_keyframe_copies_total", "Copies to and from GPUs to take keyframes.", read(n.device_copies));
  to.counter("tessera_device_failures_total", "GPUs that failed and are not used any more.", read(n.device_failures));
  auto all = n.devices.list();
  std::erase_if(all, [](const auto& one) { return !one.memory; });
  if (all.empty())
    return;
  using label = ClientMetric::Label;
  const auto number = [](const device_board::entry& one) { return label{"device", std::to_string(one.id.value)}; };
  const auto each = [&](auto value) {
    for (const auto& one : all)
      to.gauged(static_cast<double>(value(*one.memory)), {number(one)});
  };
  const auto pair = [&](const char* what, const char* first, auto first_value, const char* second, auto second_value, auto add) {
    for (const auto& one : all) {
      add(static_cast<double>(first_value(*one.memory)), std::vector<label>{number(one), {what, first}});
      add(static_cast<double>(second_value(*one.memory)), std::vector<label>{number(one), {what, second}});
    }
  };
  using memory = memory_status;
  to.gauges("tessera_device_info", "GPUs in use, by name; always 1.");
  for (const auto& one : all)
    to.gauged(1, {number(one), {"name", one.name}});
  to.gauges("tessera_device_pool_blocks", "Blocks in a GPU's pool.");
  each([](const memory& m) { return m.blocks; });
  to.gauges("tessera_device_free_blocks", "Blocks of the pool that hold nothing.");
  each([](const memory& m) { return m.free_blocks; });
  to.gauges("tessera_device_regions", "Regions of a GPU, by where their blocks are.");
  pair(
    "place", "device", [](const memory& m) { return m.regions_here; }, "host", [](const memory& m) { return m.regions_evicted; },
    [&](double value, std::vector<label> labels) { to.gauged(value, std::move(labels)); });
  to.gauges("tessera_device_host_bytes", "Host memory of regions that had to leave a GPU.");
  each([](const memory& m) { return m.evicted_bytes; });
  to.counters("tessera_device_region_moves_total", "Regions that left a GPU for host memory (out) or came back (in).");
  pair(
    "direction", "out", [](const memory& m) { return m.evictions; }, "in", [](const memory& m) { return m.page_ins; },
    [&](double value, std::vector<label> labels) { to.counted(value, std::move(labels)); });
  to.counters("tessera_device_batches_total", "Batches of requests that a GPU did.");
  for (const auto& one : all)
    to.counted(static_cast<double>(one.memory->batches), {number(one)});
  to.counters("tessera_device_kernels_total", "Kernels launched for them.");
  for (const auto& one : all)
    to.counted(static_cast<double>(one.memory->kernels), {number(one)});
}

void add_actors(family_list& to, const telemetry& n) {
  to.counter("tessera_actor_restarts_total", "Actors that were started again.", read(n.restarts));
  to.counter("tessera_handler_errors_total", "Message handlers that failed.", read(n.handler_errors));
  to.gauge("tessera_stalled", "Actors, and threads of the keyframe store, that have work and do not get on with it.",
           static_cast<double>(n.stalls.count()));
  to.counter("tessera_stalls_total", "Stalls that began.", static_cast<double>(n.stalls.total()));
  to.counter("tessera_lost_actors_total", "Actors that cannot be started again: not 0 means that the service must be.",
             read(n.lost_core));
}

void add_traffic(family_list& to, const telemetry& n, const traffic& t) {
  to.gauge("tessera_sessions", "Viewers that subscribed.", read(n.sessions));
  to.counter("tessera_sent_patches_total", "Patches handed to viewers' sockets.", read(n.sent_patches));
  to.counter("tessera_sent_patch_bytes_total", "Bytes of the patches handed to viewers' sockets.", read(n.sent_bytes));
  to.gauge("tessera_stream_connections", "Open WebSockets.", read(t.viewers));
  to.counter("tessera_stream_written_bytes_total", "Bytes of frames that WebSockets took.", read(t.stream_bytes));
  to.counter("tessera_stream_bad_frames_total", "Frames from viewers that were not understood.", read(t.stream_errors));
  to.gauge("tessera_http_connections", "Open connections, WebSockets among them.", read(t.connections));
  to.gauge("tessera_http_requests_under_way", "Requests whose header is there, and whose answer has not begun.",
           read(t.under_way));
  to.counter("tessera_http_rejected_connections_total", "Connections beyond the limit.", read(t.rejected));
  to.counter("tessera_http_accept_errors_total", "Connections that could not be accepted.", read(t.accept_errors));
  to.counter("tessera_http_tls_handshake_errors_total", "Connections that ended before their TLS handshake did.",
             read(t.bad_handshakes));
  to.counter("tessera_http_bad_requests_total", "Requests that were not HTTP.", read(t.bad_requests));
  to.counter("tessera_http_received_bytes_total", "Bytes of request bodies.", read(t.received_bytes));
  to.counter("tessera_http_answered_bytes_total", "Bytes of answers' bodies.", read(t.answered_bytes));
  to.counters("tessera_http_requests_total", "Requests, by what they asked for and the class of the answer.");
  for (size_t what = 0; what < traffic::resources; ++what)
    for (size_t kind = 0; kind < traffic::classes; ++kind)
      if (auto count = read(t.requests[what][kind]); count > 0 || kind == 1)
        to.counted(count, {{"resource", to_string(static_cast<resource>(what))}, {"status", std::to_string(kind + 1) + "xx"}});
  to.histograms("tessera_http_request_duration_seconds", "From a request's header to its answer's last byte.");
  to.timed(t.request_time);
}

void add_process(family_list& to) {
  auto p = read_process_numbers();
  to.counter("process_cpu_seconds_total", "User and system time.", p.cpu_s);
  to.gauge("process_resident_memory_bytes", "Resident memory.", static_cast<double>(p.resident_bytes));
  to.gauge("process_virtual_memory_bytes", "Virtual memory.", static_cast<double>(p.virtual_bytes));
  to.gauge("process_open_fds", "Open file descriptors.", static_cast<double>(p.open_fds));
  to.gauge("process_max_fds", "File descriptors that may be open.", static_cast<double>(p.max_fds));
  to.gauge("process_threads", "Threads.", static_cast<double>(p.threads));
  to.gauge("process_start_time_seconds", "When the process started, since 1970.", p.start_s);
}

} // namespace

metrics::metrics(std::shared_ptr<const telemetry> numbers, std::shared_ptr<const traffic> counts)
  : numbers_{std::move(numbers)}, counts_{std::move(counts)} {}

std::vector<prometheus::MetricFamily> metrics::Collect() const {
  family_list all;
  all.info("tessera_build_info", "Version and backend; always 1.",
           {{"version", TESSERA_VERSION}, {"backend", numbers_->devices.names()}});
  add_keyframes(all, *numbers_);
  add_flow(all, *numbers_);
  add_map(all, *numbers_);
  add_devices(all, *numbers_);
  add_actors(all, *numbers_);
  add_traffic(all, *numbers_, *counts_);
  add_process(all);
  return std::move(all.out);
}

std::string metrics::text() const {
  return prometheus::TextSerializer{}.Serialize(Collect());
}

} // namespace tessera
