#pragma once

#include "config/settings.hpp"

#include <span>
#include <string_view>
#include <variant>
#include <vector>

namespace tessera::config {

/// Which value a setting sets; its type decides how the text is read.
using member = std::variant<float settings::*, uint16_t settings::*, uint32_t settings::*, uint64_t settings::*, bool settings::*,
                            std::string settings::*, std::optional<float> settings::*, std::optional<uint32_t> settings::*,
                            std::optional<uint64_t> settings::*>;

/// One setting: everything that flags, environment, files, help and error messages say of it.
struct setting {
  std::string_view name;  ///< as a flag and in a file: voxel-size; in the environment: TESSERA_VOXEL_SIZE
  std::string_view group; ///< its section in a file
  member value;
  std::string_view fallback;                  ///< the default, as text
  std::string_view unit = {};                 ///< of a number; "bytes" also takes KiB, MB, ...
  double min = 0, max = 0;                    ///< bounds of a number, or of a text's length if max is not 0
  std::string_view word = {};                 ///< of an optional value: what stands for none
  std::vector<std::string_view> choices = {}; ///< of a text: the only values
  std::string_view form = {};                 ///< of another text: what it looks like, in words
  /// Of another text: throws std::invalid_argument, with what to do, if it cannot be.
  void (*check)(std::string_view) = nullptr;
  uint32_t step = 1; ///< of a whole number: it must be a multiple
  std::string_view help = {};
  std::vector<std::string_view> aliases = {}; ///< further names in the environment
};

/// A name that deployments of other services set and that changes nothing here.
struct ineffective {
  std::string_view name;
  std::string_view why;
};

/// All settings, in the order of the help and the sample file.
std::span<const setting> table();

/// Names of the environment that are known, and said to have no effect.
std::span<const ineffective> ineffective_names();

/// Returns the setting of that name, or null.
const setting* find(std::string_view name);

/// The setting's name that a mistyped one was most likely meant to be; empty if none is near. nearest_group(): the section's.
std::string_view nearest_name(std::string_view typed);
std::string_view nearest_group(std::string_view typed);

/// TESSERA_ and the name in capitals.
std::string environment_name(const setting& s);

/// What a setting's value can be, for help and errors: "0.001 to 10 m, or auto", "1 or more keyframes, or all".
std::string bounds_text(const setting& s);

} // namespace tessera::config
