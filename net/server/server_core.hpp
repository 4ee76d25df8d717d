#pragma once

#include "net/server/access.hpp"
#include "net/server/ask.hpp"
#include "net/server/body_budget.hpp"
#include "net/server/held_bytes.hpp"
#include "net/server/http_reply.hpp"
#include "net/server/mesh_shelf.hpp"
#include "net/server/metrics.hpp"
#include "net/server/server.hpp"
#include "net/server/status_shelf.hpp"
#include "net/server/traffic.hpp"

#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>

namespace tessera {

/// A connection, as the server sees it when it stops. Threads: any.
class connection {
public:
  virtual ~connection() = default;
  /// Ends it as soon as what is under way is done.
  virtual void leave() = 0;
  /// Ends it now.
  virtual void abort() = 0;
};

/// The open connections.
class connection_list {
public:
  void add(const std::shared_ptr<connection>& one);
  void remove(const connection* one);
  [[nodiscard]] std::vector<std::shared_ptr<connection>> all() const;
  [[nodiscard]] size_t size() const;

private:
  mutable std::mutex mutex_;
  std::unordered_map<const connection*, std::weak_ptr<connection>> open_;
};

/// Room for so many connections, of which those of one client (client_of()) take half, so that nobody keeps all others out.
/// Threads: any.
class connection_places {
public:
  /// Room for one connection, given back when it goes. The places outlive it.
  class place {
  public:
    place(connection_places& of, asio::ip::address client) : of_{&of}, client_{std::move(client)} {}
    place(place&& other) noexcept : of_{std::exchange(other.of_, nullptr)}, client_{other.client_} {}
    place& operator=(place&&) = delete;
    /// Counts the connection for another client from now on, and for the one before no more. False if that one has its half:
    /// then nothing changes. Throws std::bad_alloc.
    [[nodiscard]] bool move_to(const asio::ip::address& from);
    ~place() {
      if (of_ != nullptr)
        of_->give_back(client_);
    }

  private:
    connection_places* of_;
    asio::ip::address client_;
  };

  explicit connection_places(size_t most) : most_{most} {}
  /// Nothing if there is no room. Throws std::bad_alloc.
  [[nodiscard]] std::optional<place> take(const asio::ip::address& from);

private:
  [[nodiscard]] bool has_half(const asio::ip::address& client) const;
  void leave(const asio::ip::address& client);
  void give_back(const asio::ip::address& client);

  const size_t most_;
  std::mutex mutex_;
  size_t taken_ = 0;
  std::map<asio::ip::address, size_t> of_; ///< none has 0
};

/// Which port a connection came in by.
enum class entrance : uint8_t { main, metrics };

/// What all connections of a server share.
struct server_core {
  static constexpr uint64_t least_body_budget = uint64_t{16} << 20;
  static constexpr size_t most_metrics_connections = 128;

  server_core(caf::actor_system& system_, const service& running_, keyframe_sink& sink_, server_config config_)
    : system{system_}, running{running_}, sink{sink_}, config{std::move(config_)}, rules{config.token, config.insecure},
      metrics_rules{{}, config.insecure || (!config.token.empty() && !is_loopback(config.bind))},
      io{std::make_shared<asio::io_context>(static_cast<int>(config.threads))}, numbers{running.context.numbers, counts} {}

  caf::actor_system& system;
  service running;
  keyframe_sink& sink;
  server_config config; ///< its map: once map_known says so
  const access_rules rules;
  /// Of the metrics port, which asks for no token: who may reach it may read it. That is everybody where the token lets others
  /// in; on an address of this machine alone, what asks under another name is a page of another site.
  const access_rules metrics_rules;
  std::shared_ptr<asio::io_context> io;
  std::shared_ptr<traffic> counts = std::make_shared<traffic>();
  metrics numbers;
  connection_list connections;
  connection_places places{config.max_connections};
  /// Who fills the main port shall be seen on the other one.
  connection_places metrics_places{most_metrics_connections};
  body_budget bodies{std::max(4 * config.body_limit, least_body_budget)};
  std::atomic<bool> stopping{false};
  /// Set after the map and the sessions' settings, which do not change any more.
  std::atomic<bool> map_known{false};
  /// Offers block until there is credit: one thread that may. What waits for it is bounded.
  asio::thread_pool offers{1};
  std::atomic<int> waiting_offers{0};
  /// Meshes of the whole map take a while to write, and pictures of slices some of it.
  asio::thread_pool files{1};
  mesh_shelf meshes{config.most_mesh_bytes};
  status_shelf statuses{config.most_status_bytes};
  /// Slices of the field, drawn by the thread of files.
  std::atomic<int> slices_under_way{0};
  held_bytes pictures{config.most_status_bytes};
  /// Reading a viewer's list of all that it holds takes some ten milliseconds. At most one frame of a viewer waits.
  asio::thread_pool talks{1};
};

} // namespace tessera
