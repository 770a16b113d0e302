from tests.helpers.uploads import upload_files


def test_prometheus_counts_requests_by_route_and_status(client, scan):
    client.post("/segment", files=upload_files(scan))
    client.post("/segment", files=upload_files(scan))
    client.get("/somewhere/else")
    page = client.get("/metrics").text
    assert 'glioseg_requests_total{route="/segment",status="200"} 2.0' in page
    assert 'glioseg_requests_total{route="other",status="404"} 1.0' in page
    assert "glioseg_segment_seconds_count 2.0" in page
    assert "glioseg_queue_length 0.0" in page
    assert 'glioseg_model_info{model="models",version="' in page
