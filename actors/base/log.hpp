#pragma once

#include <functional>
#include <string>

namespace tessera {

/// How much a line of the log matters.
enum class severity { debug, info, warning, error };

/// Where actors write their log; called from any thread, must not throw. Empty: nowhere.
using log_function = std::function<void(severity, const std::string&)>;

} // namespace tessera
