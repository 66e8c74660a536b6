module tradingbot/hack/cluster

go 1.24.0
