#include "net/sources/source.hpp"

#include "net/sources/amqp/amqp_source.hpp"
#include "net/sources/rgbd/rgbd_folder.hpp"
#include "net/sources/shm/shm_watch.hpp"
#include "net/sources/synthetic/synthetic.hpp"
#include "net/base/utf8.hpp"

#include <stdexcept>

namespace tessera {

std::unique_ptr<source> make_source(const std::string& uri, const source_options& options) {
  auto colon = uri.find(':');
  auto scheme = uri.substr(0, colon);
  auto rest = colon == std::string::npos ? std::string{} : uri.substr(colon + 1);
  if (!rest.empty()) {
    if (scheme == "synthetic")
      return make_synthetic_source(rest, options);
    if (scheme == "rgbd")
      return make_rgbd_source(rest, options);
    if (scheme == "shm")
      return make_shm_watch(rest, options);
    if (is_amqp_url(uri))
      return make_amqp_source(uri, options);
  }
  // An address with a password may have a slip in its scheme: only that is repeated.
  throw std::invalid_argument("unknown source '" + printable(colon == std::string::npos ? uri : scheme + ":")
                              + "': there are synthetic:room, synthetic:building, rgbd:DIR, shm:/PREFIX and "
                                "amqp://USER:PASSWORD@HOST:PORT/VHOST (amqps:// for TLS)");
}

} // namespace tessera
