"""Libraries that Python knows, rivals of `bench topology --peers`.

rivals.py FILE [MEASURE]: reads links of a connected graph, two numbers a line. Then, for each line on
standard input, prints one JSON object: microseconds of processor time by measure (the one that is
named, or all) and library, and the diameters found. Measures that take minutes at a size are left out
there.
"""

import json
import sys
import time

import igraph
import networkit as nk
import networkx as nx
import rustworkx as rx

ROUND = 0.005
ALL_PAIRS = 1_000
SLOW = 2_000

nk.setNumberOfThreads(1)
only = sys.argv[2] if len(sys.argv) > 2 else None
links = [tuple(map(int, line.split())) for line in open(sys.argv[1])]
peers = 1 + max(max(link) for link in links)


def of_networkit():
    graph = nk.Graph(peers)
    for a, b in links:
        graph.addEdge(a, b)
    graph.indexEdges()

    def cuts():
        nk.components.BiconnectedComponents(graph).run()

    def clustering():
        scores = nk.centrality.LocalClusteringCoefficient(graph, True).run().scores()
        return sum(scores) / len(scores)

    def diameter():
        found = nk.distance.Diameter(graph, algo=nk.distance.DiameterAlgo.EXACT).run()
        return found.getDiameter()[0]

    return {
        "components": lambda: nk.components.ConnectedComponents(graph).run(),
        "cuts": cuts,
        "clustering": clustering,
        "diameter": diameter,
    }


def of_igraph():
    graph = igraph.Graph(n=peers, edges=links)
    measures = {
        "components": lambda: graph.connected_components(),
        "cuts": lambda: (graph.articulation_points(), graph.bridges()),
        "clustering": lambda: graph.transitivity_avglocal_undirected(mode="zero"),
        "transitivity": lambda: graph.transitivity_undirected(),
    }
    if peers <= ALL_PAIRS:
        measures["diameter"] = lambda: graph.diameter(directed=False)
    return measures


def of_rustworkx():
    graph = rx.PyGraph(multigraph=False)
    graph.add_nodes_from(range(peers))
    graph.add_edges_from_no_data(links)
    measures = {
        "components": lambda: rx.connected_components(graph),
        "cuts": lambda: (rx.articulation_points(graph), rx.bridges(graph)),
        "transitivity": lambda: rx.transitivity(graph),
    }
    if peers <= ALL_PAIRS:
        measures["diameter"] = lambda: int(rx.distance_matrix(graph).max())
    return measures


def of_networkx():
    graph = nx.Graph(links)
    return {
        "components": lambda: list(nx.connected_components(graph)),
        "cuts": lambda: (list(nx.articulation_points(graph)), list(nx.bridges(graph))),
        "clustering": lambda: nx.average_clustering(graph),
        "transitivity": lambda: nx.transitivity(graph),
        "diameter": lambda: nx.diameter(graph, usebounds=True),
    }


def timed(work, times):
    start = time.process_time()
    for _ in range(times):
        result = work()
    return (time.process_time() - start) / times, result


libraries = {"NetworKit": of_networkit(), "igraph": of_igraph(), "rustworkx": of_rustworkx()}
if peers <= SLOW:
    libraries["NetworkX"] = of_networkx()

for _ in sys.stdin:
    taken, diameters = {}, []
    for library, measures in libraries.items():
        for measure, work in measures.items():
            if only not in (None, measure):
                continue
            seconds, result = timed(work, 1)
            times = int(min(ROUND / max(seconds, 1e-7), 10_000))
            if times > 1:
                seconds, result = timed(work, times)
            taken.setdefault(measure, {})[library] = seconds * 1e6
            if measure == "diameter":
                diameters.append(int(result))
    print(json.dumps({"us": taken, "diameters": diameters}), flush=True)
