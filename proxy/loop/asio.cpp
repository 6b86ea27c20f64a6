/// Everything of Boost.Asio that is not a template: the other sources only declare it
/// (BOOST_ASIO_SEPARATE_COMPILATION).
#include <boost/asio/impl/src.hpp>
