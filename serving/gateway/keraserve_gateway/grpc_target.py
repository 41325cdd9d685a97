"""The model servers' addresses, in the form that gRPC takes."""

import ipaddress


def grpc_target(addresses: str) -> str:
    """Turn `host:port`, a gRPC target, or several IP addresses with ports into one gRPC target.

    Raises:
        ValueError: several addresses that are not all IP addresses with ports, of one version.
    """
    if "," not in addresses or addresses.startswith(("ipv4:", "ipv6:")):
        return addresses
    several = [one.strip() for one in addresses.split(",")]
    try:
        versions = {ipaddress.ip_address(one.rpartition(":")[0].strip("[]")).version for one in several}
    except ValueError:
        versions = set[int]()
    if len(versions) != 1:
        raise ValueError(
            "several addresses have to be IP addresses with ports; or take one name for all servers"
        )
    return f"ipv{versions.pop()}:{','.join(several)}"
