#include "messages/types.hpp"

#include "messages/actors.hpp"

#include <caf/actor_system_config.hpp>

namespace tessera {

void register_messages(caf::actor_system_config& config) {
  config.add_message_types<caf::id_block::tessera>();
  config.add_message_type<mesher_actor>("tessera::mesher_actor");
  config.add_message_type<ingest_actor>("tessera::ingest_actor");
  config.add_message_type<partitioner_actor>("tessera::partitioner_actor");
  config.add_message_type<supervisor_actor>("tessera::supervisor_actor");
  config.add_message_type<session_actor>("tessera::session_actor");
  config.add_message_type<broadcaster_actor>("tessera::broadcaster_actor");
  config.add_message_type<inspector_actor>("tessera::inspector_actor");
  config.add_error_category(caf::detail::error_factory<ec>::category,
                            [](uint8_t code, caf::atom_value category, const caf::message& context) {
                              return describe(caf::error{code, category, context});
                            });
}

} // namespace tessera
