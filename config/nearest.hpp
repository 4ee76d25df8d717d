#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tessera::config {

/// The word that a mistyped one was most likely meant to be: at most a third of its letters differ, capitals, - and _ aside.
/// Empty if none is so near.
std::string_view nearest(std::string_view typed, const std::vector<std::string_view>& words);

/// "; did you mean WORD?", or nothing for no word.
std::string did_you_mean(std::string_view word);

} // namespace tessera::config
